/* Chat templates: the Jinja that models publish, rendered to a prompt that knows where each of its bytes came from.
 *
 * The interpreter is in text/template/: parse, evaluate, builtins. A template that uses something unknown is refused when it is loaded, by name and
 * line. Rendering is bounded in steps, depth, memory and output (base/limits.h). The oracle is the jinja2 library in the sandboxed
 * environment with trim_blocks and lstrip_blocks set, as transformers sets it.
 *
 * Values given to a template come as JSON text (parsed with jansson inside): {"messages": [...], "tools": [...], "add_generation_prompt": true, ...}.
 * Thread: a template is immutable and may render in any number of threads. */
#ifndef TEXT_CHAT_H
#define TEXT_CHAT_H

#include "base/buffer.h"
#include "base/error.h"
#include "text/tokenizer.h"

struct chat_template;

/* `name` is used in messages ("chat template of MODEL", a file's path). */
int chat_template_create(const char *source, size_t length, const char *name, struct chat_template **chat_template, struct error *err);
void chat_template_free(struct chat_template *chat_template); /* NULL is legal */

/* A rendered prompt: text and the origin of its bytes. */
struct rendered_prompt {
    struct buffer text;
    struct text_span *spans; /* [n_spans], owned; consecutive, covering text; neighbours differ in origin */
    size_t n_spans;
};
void rendered_prompt_free(struct rendered_prompt *prompt);

/* Variables: a JSON object. Bytes that come from string literals of the template (and from the top-level bos_token, eos_token,
 * unk_token, sep_token, pad_token, cls_token and mask_token: never fill these from a request)
 * have ORIGIN_TEMPLATE, bytes that come from the variables ORIGIN_DATA; string operations keep the origin of what they copy.
 * raise_exception and a refusal are SAMPAN_EINVAL with the template's words; limits are SAMPAN_ELIMIT. */
int chat_template_render(const struct chat_template *chat_template, const char *variables_json, size_t length, struct rendered_prompt *prompt,
                         struct error *err);

#endif
