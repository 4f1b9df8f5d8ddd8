"""A hook raises half-way; another is sound."""

import customize


@customize.hookimpl
def customize_methods():
    yield customize.MethodSpec(
        name="half", target="json:loads", summary="A method.", data="chat", needs=()
    )
    raise RuntimeError("the shelf is empty")


@customize.hookimpl
def customize_datasets():
    yield customize.DatasetSpec(name="whole", target="builtins:list", summary="No rows.")
