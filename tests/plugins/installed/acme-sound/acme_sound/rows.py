"""Rows, from nowhere and from files."""


def shop():
    chat = [{"role": "user", "content": "Open?"}, {"role": "assistant", "content": "Yes."}]
    return [{"messages": chat}] * 3


def read(path):
    for line in path.read_text("utf-8").splitlines():
        question, answer = line.split("|")
        yield {"prompt": question, "completion": answer}
