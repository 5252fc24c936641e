#!/bin/sh
# Turns the directory of migrations into C, on stdout:  sh migrations/embed.sh migrations > build/gen/migrations.c
# A revision is NNNN_<revision>_<slug>.sql, or .sqlite.sql and .postgresql.sql where the dialects differ. Its comment
# lines `revision`, `down` and `title` come first; `-- call: NAME` in the text calls
# migration_NAME, which a C file beside the SQL defines (migrations.h).
set -eu

dir=${1:?usage: embed.sh DIRECTORY}
LC_ALL=C
export LC_ALL

find "$dir" -name '[0-9][0-9][0-9][0-9]_*.sql' -print | sort | awk -v dir="$dir" '
function fail(what) {
	print "embed.sh: " what | "cat >&2"
	failed = 1
	exit 1
}
function quoted(s) {
	gsub(/\\/, "&&", s)
	gsub(/"/, "\\\"", s)
	gsub(/\t/, "\\t", s)
	return "\"" s "\""
}
# Prints a file as an array of characters in string pieces; fills head[] from its first comment lines.
function embed(file, name,    line, n) {
	print "static const char " name "[] ="
	n = 0
	while ((getline line < file) > 0) {
		n++
		if (match(line, /^-- (revision|down|title): /))
			head[substr(line, 4, index(line, ":") - 4)] = substr(line, index(line, ":") + 2)
		else if (line != "" || body)
			print "    " quoted(line "") "\"\\n\""
		if (line !~ /^--/)
			body = 1
		if (match(line, /^-- call: /) && !(substr(line, 10) in called)) {
			called[substr(line, 10)] = 1
			call[++calls] = substr(line, 10)
		}
	}
	body = 0
	close(file)
	if (n == 0)
		fail(file ": empty or unreadable")
	print "    \"\";"
}
{
	file = $0
	base = file
	sub(/.*\//, "", base)
	rev = substr(base, 1, 4) + 0
	dialect = "both"
	if (base ~ /\.sqlite\.sql$/)
		dialect = "sqlite"
	else if (base ~ /\.postgresql\.sql$/)
		dialect = "postgresql"
	if ((rev, dialect) in path || (rev, "both") in path)
		fail(file ": a second text of revision " rev)
	path[rev, dialect] = file
	if (rev > last)
		last = rev
}
END {
	if (failed)
		exit 1
	print "/* Made by migrations/embed.sh; do not edit. */"
	print "#include \"migrations/migrations.h\"\n"
	print "#pragma GCC diagnostic ignored \"-Woverlength-strings\"\n"
	for (i = 0; i <= last; i++) {
		head["revision"] = head["down"] = head["title"] = ""
		if ((i, "both") in path) {
			embed(path[i, "both"], "text_" i)
			texts = "text_" i ", text_" i
		} else if ((i, "sqlite") in path && (i, "postgresql") in path) {
			embed(path[i, "sqlite"], "sqlite_" i)
			embed(path[i, "postgresql"], "postgresql_" i)
			texts = "sqlite_" i ", postgresql_" i
		} else
			fail("revision " i " has no text for one of the dialects")
		if (head["revision"] == "" || head["title"] == "" || head["down"] == "")
			fail("revision " i ": no revision, down or title line")
		if (i > 0 && head["down"] != previous)
			fail("revision " i ": follows " head["down"] ", not " previous)
		previous = head["revision"]
		rev_of[previous] = i
		row[i] = "    {" i ", " quoted(head["revision"]) ", " quoted(head["title"]) ", " texts "},"
	}
	print "const struct schema_revision schema_revisions[] = {"
	for (i = 0; i <= last; i++)
		print row[i]
	print "};"
	print "const int schema_head = " last ";\n"
	file = dir "/shapes.tsv"
	while ((getline line < file) > 0) {
		if (line ~ /^#/)
			continue
		if (split(line, f, "\t") != 2 || !(f[1] in rev_of))
			fail(file ": not a revision and a digest: " line)
		shape[rev_of[f[1]]] = f[2]
	}
	print "const char *const schema_shapes[] = {"
	for (i = 0; i <= last; i++)
		print "    " quoted(shape[i]) ","
	print "};\n"

	for (i = 1; i <= calls; i++)
		print "extern const struct migration_hook migration_" call[i] ";"
	print "const struct migration_call migration_calls[] = {"
	for (i = 1; i <= calls; i++)
		print "    {" quoted(call[i]) ", &migration_" call[i] "},"
	print "    {NULL, NULL},\n};\n"

	print "const struct schema_release schema_releases[] = {"
	file = dir "/releases.tsv"
	while ((getline line < file) > 0) {
		if (line ~ /^#/)
			continue
		if (split(line, f, "\t") != 4)
			fail(file ": not four columns: " line)
		print "    {" quoted(f[1]) ", " quoted(f[2]) ", " f[3] ", " (f[4] == "yes" ? "true" : "false") "},"
		releases++
	}
	if (!releases)
		fail(file ": no releases")
	print "};"
	print "const int schema_releases_count = " releases ";"
}'
