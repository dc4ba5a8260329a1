/* Grammars in GBNF, the notation of llama.cpp's grammars:
 *
 *     root   ::= greeting (", " name)* "."      # rules; the text begins at root
 *     name   ::= [A-Z] [a-z]{1,20} | "\"" [^"\x0A]+ "\""
 *     greeting ::= "hello" | "good " ("day" | "morning")
 *
 * Alternatives |, groups ( ), repetitions * + ? {m} {m,} {m,n}, sets [a-z] [^...], any character ., comments #. Escapes in texts and sets:
 * \n \r \t \\ \" \[ \] \- \^ \xHH \uHHHH \UHHHHHHHH. A rule ends with its line, unless a group is open or the next line begins with |. */
#ifndef TEXT_GRAMMAR_GBNF_H
#define TEXT_GRAMMAR_GBNF_H

#include "text/grammar/build.h"

void build_gbnf(struct grammar_builder *builder, const char *source, size_t length); /* defines rule 0 as `root` */

#endif
