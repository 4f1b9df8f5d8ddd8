"""Small files of formats that are tedious to write by hand."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from xml.sax.saxutils import escape

_WORD = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_STYLES = f"""<w:styles {_WORD}>
<w:style w:styleId="berschrift1"><w:name w:val="heading 1"/></w:style>
<w:style w:styleId="Body"><w:name w:val="Normal"/></w:style>
<w:style w:styleId="Own"><w:name w:val="My own"/><w:pPr><w:outlineLvl w:val="1"/></w:pPr></w:style>
</w:styles>"""


def paragraph(text: str, style: str = "Body") -> str:
    own = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>'
    return f"<w:p>{own}<w:r><w:t>{escape(text)}</w:t></w:r></w:p>"


def docx(body: str, before: str = "") -> bytes:
    """A DOCX file of some paragraphs; ``before`` stands before the XML's root."""
    document = f"{before}<w:document {_WORD}><w:body>{body}</w:body></w:document>"
    return archive({"word/styles.xml": _STYLES.encode(), "word/document.xml": document.encode()})


def archive(members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return packed.getvalue()


def pdf(pages: Sequence[str], catalog: str = "") -> bytes:
    """A PDF file with a line of text on each page; ``catalog`` stands in its catalog."""
    count = len(pages)
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(count))
    objects = [
        f"<< /Type /Catalog /Pages 2 0 R {catalog} >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {count} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, text in enumerate(pages):
        drawn = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET"
        objects += [
            f"<< /Type /Page /Parent 2 0 R /Resources << /Font << /F1 3 0 R >> >> "
            f"/MediaBox [0 0 612 792] /Contents {5 + 2 * number} 0 R >>",
            f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream",
        ]
    return pdf_of([content.encode() for content in objects])


def pdf_of(objects: Sequence[bytes], trailer: str = "") -> bytes:
    """A PDF file of these objects, the first its catalog; ``trailer`` stands in its trailer."""
    written, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        places.append(len(written))
        written += f"{number} 0 obj\n".encode() + content + b"\nendobj\n"
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    head = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
    own = f"<< /Size {len(objects) + 1} /Root 1 0 R {trailer} >>"
    return written + f"{head}trailer {own}\nstartxref\n{len(written)}\n%%EOF".encode()
