"""Documents: files of many formats, and records, as texts with headings. Know no chunks.

A file is data from whoever wrote it: it cannot make its reader fetch, execute or hang.
"""
