"""Its second spec is malformed."""

import customize


@customize.hookimpl
def customize_methods():
    yield customize.MethodSpec(
        name="before-bad", target="json:loads", summary="A method.", data="chat", needs=()
    )
    yield customize.MethodSpec(
        name="Not A Name", target="json:loads", summary="A method.", data="chat", needs=()
    )
