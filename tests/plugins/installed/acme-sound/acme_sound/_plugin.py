"""What this distribution offers. Imports nothing heavy."""

import customize


@customize.hookimpl
def customize_methods():
    yield customize.MethodSpec(
        name="sound",
        target="acme_sound.method:Sound",
        summary="Steps towards every token of a row.",
        data="chat",
        needs={"forward_backward"},
    )


@customize.hookimpl
def customize_datasets():
    yield customize.DatasetSpec(
        name="shop", target="acme_sound.rows:shop", summary="Questions to a shop."
    )


@customize.hookimpl
def customize_readers():
    yield customize.ReaderSpec(
        name="talk", target="acme_sound.rows:read", summary="Question|answer.", suffixes={".talk"}
    )
