"""It prints when it is imported and when it is asked."""

import sys

import customize

print("hello from acme")
print("and a warning", file=sys.stderr)


@customize.hookimpl
def customize_methods():
    print("a line more")
    yield customize.MethodSpec(
        name="printing", target="json:loads", summary="A method.", data="chat", needs=()
    )
