"""It offers a name that another offers too."""

import customize


@customize.hookimpl
def customize_methods():
    yield customize.MethodSpec(
        name="twin", target="acme_twin_two:Twin", summary="A method.", data="chat", needs=()
    )


class Twin:
    """Twin two."""
