/* completion.h: the files of completion/, as text. The build makes them a part
 * of the program (meson.build). */
#ifndef SM_CLI_COMPLETION_H
#define SM_CLI_COMPLETION_H

extern const char completion_bash[];
extern const char completion_fish[];
extern const char completion_zsh[];

#endif
