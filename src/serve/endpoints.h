/* The handlers of routes.c. Each answers its exchange, now or later. `rest`: what the route's star stood for. */
#ifndef SERVE_ENDPOINTS_H
#define SERVE_ENDPOINTS_H

#include "serve/server.h"

void openai_chat(struct exchange *exchange, const char *rest);        /* openai_chat.c */
void openai_completions(struct exchange *exchange, const char *rest); /* openai_completions.c */
void models_list(struct exchange *exchange, const char *rest);        /* endpoints.c */
void models_get(struct exchange *exchange, const char *rest);
void tokenize(struct exchange *exchange, const char *rest);
void detokenize(struct exchange *exchange, const char *rest);
void apply_template(struct exchange *exchange, const char *rest);
void health(struct exchange *exchange, const char *rest);
void version(struct exchange *exchange, const char *rest);
void metrics_page(struct exchange *exchange, const char *rest);

#endif
