"""It implements a hook that is not there."""

import customize


@customize.hookimpl
def customize_methods():
    yield customize.MethodSpec(
        name="beside-unknown", target="json:loads", summary="A method.", data="chat", needs=()
    )


@customize.hookimpl
def customize_nonsense():
    return []
