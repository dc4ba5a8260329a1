#!/usr/bin/env python3
"""Writes what jinja2, set up as transformers sets it up, makes of templates: the goldens of test_template.c and test_chat.c.

    make_template_goldens.py MODEL.gguf TEMPLATES_FOLDER OUTPUT_FOLDER

  template_language.json   small cases of the language: template, variables, output (null: it must fail)
  template_smollm2.json    the template of SmolLM2-135M-Instruct (from the GGUF file, Apache-2.0) over many conversations
  template_published.json  published templates, which are not copied: only a hash of each source and of each expected output

Needs jinja2, transformers (for its environment) and gguf. Two things are added to transformers' environment: `from_json` (json.loads), which published templates use,
and a fixed time for strftime_now.
"""
import datetime
import json
import os
import sys

from template_cases import LANGUAGE, CONVERSATIONS, SMOLLM2, STRINGS

FIXED_TIME = 1718454645  # 2024-06-15 12:30:45 UTC


def fnv(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def make_environment():
    import transformers.utils.chat_template_utils as utils

    environment = utils._cached_compile_jinja_template("").environment
    environment.filters["from_json"] = json.loads
    environment.globals["strftime_now"] = lambda f: datetime.datetime.fromtimestamp(FIXED_TIME, datetime.timezone.utc).strftime(f)
    return environment


def render(environment, source, variables):
    try:
        text = environment.from_string(source).render(**json.loads(variables))
        text.encode()
        return text
    except Exception as error:  # whatever Python raises is a refusal
        render.reason = f"{type(error).__name__}: {error}"
        return None


def language_cases(environment):
    cases = []
    for case in LANGUAGE:
        template, variables = case if isinstance(case, tuple) else (case, {})
        variables = json.dumps(variables, ensure_ascii=False)
        output = render(environment, template, variables)
        if output is not None and (" object at 0x" in output or " at 0x" in output or "<class" in output):
            continue  # an address is nobody's golden
        cases.append([template, variables, output])
    for template in STRINGS[0]:
        for text in STRINGS[1]:
            variables = json.dumps({"s": text}, ensure_ascii=False)
            cases.append([template, variables, render(environment, template, variables)])
    return cases


def smollm2_cases(environment, path):
    import gguf

    field = gguf.GGUFReader(path).fields["tokenizer.chat_template"]
    source = bytes(field.parts[field.data[0]]).decode()
    cases = [[variables, render(environment, source, variables)] for variables in (json.dumps(v, ensure_ascii=False) for v in SMOLLM2)]
    return {"origin": "chat template of HuggingFaceTB/SmolLM2-135M-Instruct, Apache-2.0", "template": source, "cases": cases}


def published_cases(environment, folder):
    conversations = [json.dumps(v, ensure_ascii=False) for v in CONVERSATIONS]
    templates = {}
    for name in sorted(os.listdir(folder)):
        if not name.endswith(".jinja"):
            continue
        with open(os.path.join(folder, name), "rb") as file:
            source = file.read()
        outputs = [render(environment, source.decode(), variables) for variables in conversations]
        templates[name] = {"source": fnv(source), "outputs": ["" if o is None else fnv(o.encode()) for o in outputs]}
    return {"conversations": conversations, "templates": templates}


def main():
    model, folder, output = sys.argv[1:]
    environment = make_environment()
    for name, content in [("template_language", language_cases(environment)), ("template_smollm2", smollm2_cases(environment, model)),
                          ("template_published", published_cases(environment, folder))]:
        with open(os.path.join(output, name + ".json"), "w", encoding="utf-8") as file:
            json.dump(content, file, ensure_ascii=False, indent=0)
            file.write("\n")


if __name__ == "__main__":
    main()
