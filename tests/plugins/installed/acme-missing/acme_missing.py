"""It needs a package that is not installed."""

import customize


@customize.hookimpl
def customize_methods():
    yield customize.MethodSpec(
        name="missing", target="no_such_package:Method", summary="A method.", data="chat", needs=()
    )
