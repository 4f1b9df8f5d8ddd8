"""Serving: an OpenAI-compatible server over runtimes. Knows no format, and opens no package.

One file a concern: what a client may ask (`limits`), who may ask (`guard`), what a request says
(`fields`, `reading`, `asked`), what its schema takes (`schema_trial`), who is answered now
(`desk`), what is said (`speech`, `choices`), how it is told (`chat_form`, `completion_form`,
`replying`), and the whole (`app`, `server`).
"""
