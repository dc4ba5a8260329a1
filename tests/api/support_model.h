/* Models for the tests of the public API, made out of its sight: the tests themselves include nothing of the library but sampan.h. */
#ifndef TESTS_API_SUPPORT_MODEL_H
#define TESTS_API_SUPPORT_MODEL_H

/* The path of a tiny random model (vocabulary 288, context 512), made once and removed at the end of the process. */
const char *support_tiny_model(void);
/* The default model: SAMPAN_TEST_MODEL, else models/ of the repository; NULL: it is not there. */
const char *support_default_model(void);

#endif
