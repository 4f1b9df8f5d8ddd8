"""It needs a newer torch than there is."""

import customize


@customize.hookimpl
def customize_methods():
    yield customize.MethodSpec(
        name="unmet", target="json:loads", summary="A method.", data="chat", needs=()
    )
