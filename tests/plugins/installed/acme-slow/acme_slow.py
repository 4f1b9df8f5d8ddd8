"""It takes long to be listed."""

import time

import customize

begun = time.thread_time()
while time.thread_time() < begun + 0.3:  # of processor time
    pass


@customize.hookimpl
def customize_methods():
    yield customize.MethodSpec(
        name="slow", target="json:loads", summary="A method.", data="chat", needs=()
    )
