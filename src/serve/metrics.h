/* What the server counts, in the text format of Prometheus. */
#ifndef SERVE_METRICS_H
#define SERVE_METRICS_H

#include "base/buffer.h"
#include "serve/generation.h"
#include "serve/server.h"

struct metrics;

int metrics_create(struct metrics **metrics, struct error *err);
void metrics_free(struct metrics *metrics);

void metrics_count_exchange(struct metrics *metrics, const struct exchange *exchange); /* answered, or left by its client (499) */
void metrics_count_event(struct metrics *metrics, const struct generation *generation, const struct sampan_event *event);
void metrics_count_generation(struct metrics *metrics, const struct generation *generation); /* all choices over */

void metrics_write(const struct metrics *metrics, const struct server *server, struct buffer *out);

#endif
