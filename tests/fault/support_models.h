/* Models for the scenarios: a tiny GGUF file, and a folder with everything that a published one has. Made once, removed at the end of the process. */
#ifndef TESTS_FAULT_SUPPORT_MODELS_H
#define TESTS_FAULT_SUPPORT_MODELS_H

const char *support_gguf(void); /* vocabulary 288, with tokenizer and template */
const char *
support_folder(void); /* two shards with an index, config.json, tokenizer.json, tokenizer_config.json, chat_template.jinja, generation_config.json */
const char *support_path(const char *name);             /* of a file in the same temporary folder as the two */
void support_write(const char *name, const char *text); /* such a file */

#endif
