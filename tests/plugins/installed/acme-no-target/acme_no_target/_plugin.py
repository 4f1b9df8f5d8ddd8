"""One module is not there, one raises, and one lacks the name."""

import customize


@customize.hookimpl
def customize_methods():
    yield customize.MethodSpec(
        name="lost",
        target="acme_no_target.nowhere:Lost",
        summary="A method.",
        data="chat",
        needs=(),
    )
    yield customize.MethodSpec(
        name="torn", target="acme_no_target.torn:Torn", summary="A method.", data="chat", needs=()
    )
    yield customize.MethodSpec(
        name="nameless",
        target="acme_no_target._plugin:Nameless",
        summary="A method.",
        data="chat",
        needs=(),
    )
