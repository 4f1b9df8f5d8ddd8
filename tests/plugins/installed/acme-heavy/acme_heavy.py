"""It imports torch to be listed."""

import torch  # noqa: F401

import customize


@customize.hookimpl
def customize_methods():
    yield customize.MethodSpec(
        name="heavy", target="json:loads", summary="A method.", data="chat", needs=()
    )
