/* --logit-bias ID=BIAS[,ID=BIAS...]: what is added to the logits of tokens. */
#ifndef CLI_LOGIT_BIAS_H
#define CLI_LOGIT_BIAS_H

#include "cli/command.h"
#include "sampan.h"

/* All that was given, in order; *biases is freed with mem_free. An exit code: EXIT_USAGE names the part that is wrong. */
int logit_bias_parse(const struct option_value *value, struct sampan_logit_bias **biases, size_t *n_biases);

#endif
