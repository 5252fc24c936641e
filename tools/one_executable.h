/* Included before the main file of each program where all of them are one executable (Makefile: PACKAGED), in
 * which MAIN_OF names its main(). */
#ifndef TOOLS_ONE_EXECUTABLE_H
#define TOOLS_ONE_EXECUTABLE_H

#include "tools/suite.h"

#define MAIN_OF_(c_name)                         main_of_##c_name
#define MAIN_OF(c_name)                          MAIN_OF_(c_name)
#define DECLARE(command, program, c_name, about) int MAIN_OF(c_name)(int argc, char **argv);
SUITE(DECLARE)
#undef DECLARE

#endif
