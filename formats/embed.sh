#!/bin/sh
# Turns files of the rooms into C, on stdout:  sh formats/embed.sh formats/*/*.sql formats/report/page.* > build/gen/embedded.c
# ROOM/NAME.DIALECT.sql becomes the array ROOM_NAME_DIALECT, which the room declares, and a row of sql_files
# (formats/database/sql_files.h); ROOM/NAME.EXTENSION the array ROOM_NAME_EXTENSION.
set -eu
LC_ALL=C
export LC_ALL

awk '
function quoted(s) {
	gsub(/\\/, "&&", s)
	gsub(/"/, "\\\"", s)
	return "\"" s "\""
}
FNR == 1 {
	parts = split(FILENAME, part, "/")
	name = part[parts - 1] "_" part[parts]
	is_sql = sub(/\.sql$/, "", name)
	gsub(/\./, "_", name)
	if (is_sql) rows = rows "    {" quoted(FILENAME) ", " name "},\n"
	print (NR == 1 ? "/* Made by formats/embed.sh; do not edit. */\n#include \"formats/database/sql_files.h\"\n" : "    ;\n")
	print "extern const char " name "[];\nconst char " name "[] ="
}
{
	print "    " quoted($0 "") "\"\\n\""
}
END {
	print "    ;\n\nconst struct sql_file sql_files[] = {\n" rows "    {NULL, NULL},\n};"
}' "$@"
