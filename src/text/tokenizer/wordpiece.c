#include "text/tokenizer/wordpiece.h"

static bool is_too_long(const struct wordpiece *wordpiece, const char *word, size_t length)
{
    size_t n_characters = 0;
    for (size_t i = 0; i < length; i++)
        n_characters += ((unsigned char)word[i] & 0xC0) != 0x80;
    return n_characters > wordpiece->longest_word;
}

int wordpiece_encode_word(const struct wordpiece *wordpiece, const char *word, size_t length, struct token_list *list, bool *covered)
{
    size_t before = list->count;
    *covered = !is_too_long(wordpiece, word, length);
    for (size_t at = 0; at < length && *covered;) {
        const struct trie *trie = at ? &wordpiece->subwords : &wordpiece->words;
        uint32_t node = 0;
        int32_t id = -1;
        size_t longest = at;
        for (size_t end = at; end < length && (node = trie_step(trie, node, (unsigned char)word[end])) != TRIE_NONE;) {
            end++;
            if (trie->nodes[node].id >= 0) {
                id = trie->nodes[node].id;
                longest = end;
            }
        }
        *covered = id >= 0;
        if (*covered && token_list_append(list, id))
            return SAMPAN_ENOMEM;
        at = longest;
    }
    if (!*covered)
        list->count = before;
    return 0;
}
