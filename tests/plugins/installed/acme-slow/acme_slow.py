"""It takes long to be listed."""

import time

import customize

time.sleep(0.3)


@customize.hookimpl
def customize_methods():
    yield customize.MethodSpec(
        name="slow", target="json:loads", summary="A method.", data="chat", needs=()
    )
