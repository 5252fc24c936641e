# The option tables as data of a shell's completion functions (functions.bash, functions.zsh, functions.fish).
# A value's class follows from its name in the help: what is one|two is completed as these words.

function class_of(arg, all)
{
    sub(/^NEW=/, "", arg)
    if (arg == "FILE" || arg == "STATE")
        return "files"
    if (arg == "DIR")
        return "directories"
    if (arg == "URL" || arg == "TARGET")
        return "url"
    if (arg == "SOURCE")
        return "source"
    if (arg == "X.Y[.Z]")
        return "releases"
    if (arg == "REVISION|RELEASE")
        return "revisions"
    if (arg == "KIND")
        return "kinds"
    if (arg == "ID")
        return all ~ /only this experiment/ ? "experiments" : "none"
    if (arg ~ /^([a-z]+|[A-Z]+)(\|([a-z]+|[A-Z]+))+$/ && arg !~ /^ID\|/) {
        gsub(/\|/, " ", arg)
        return arg
    }
    return "none"
}

# The operands' classes, from what is left of a synopsis without its options.
function operands_of(synopsis, key, words, n, i, list)
{
    gsub(/\[OPTION\]\.\.\./, "", synopsis)
    sub("^" key, "", synopsis)
    # [--release X.Y[.Z]], innermost brackets first
    while (sub(/\[[.-][^\[\]]*\](\.\.\.)?/, "", synopsis))
        ;
    gsub(/--[a-z-]+( [^ [-][^ ]*)?/, "", synopsis)
    gsub(/\[|\]/, " ", synopsis)
    n = split(synopsis, words, " ")
    list = ""
    for (i = 1; i <= n; i++)
        list = list (list ? " " : "") class_of(words[i], "")
    return list
}

function quoted(text)
{
    if (shell == "fish")
        gsub(/\\/, "\\\\", text)
    gsub(/'/, shell == "fish" ? "\\'" : "'\\''", text)
    return "'" text "'"
}

# Short enough for a line of a terminal: the first clause.
function brief(help)
{
    sub(/[;:,] .*/, "", help)
    sub(/ \((default|may be repeated|repeatable).*/, "", help)
    return help
}

BEGIN {
    FS = "\t"
    n = split(programs, pairs, " ")
    for (i = 1; i <= n; i++) {
        split(pairs[i], pair, "=")
        name[i] = pair[1]
        command[pair[1]] = pair[2]
    }
    n_names = n
}

$2 == "synopsis" {
    text = $3
    sub(/^ +/, " ", text)
    if (!($1 in synopsis)) {
        order[++n_keys] = $1
        synopsis[$1] = text
    } else if (index(text, $1 " ") == 1) # another form of the command: the last one's operands are the same
        synopsis[$1] = text
    else
        synopsis[$1] = synopsis[$1] text
    next
}

$2 == "option" {
    k = ++n_options[$1]
    long[$1, k] = $3
    short[$1, k] = $4
    takes[$1, k] = $5
    class[$1, k] = $5 == "flag" ? "" : class_of($6, $7)
    arg[$1, k] = $6
    help[$1, k] = brief($7)
}

END {
    for (i = 1; i <= n_keys; i++) {
        key = order[i]
        if (split(key, parts, " ") == 2) {
            commands[parts[1]] = commands[parts[1]] (commands[parts[1]] ? " " : "") parts[2]
            delete operands[parts[1]]
        }
        operands[key] = operands_of(synopsis[key], key)
    }
    for (program in commands)
        operands[program] = commands[program]
    if (shell == "bash")
        write_bash()
    else if (shell == "zsh")
        write_zsh()
    else
        write_fish()
}

function write_bash(i, k, key, words)
{
    print "_mlruns_tools_options() {\n    case $1 in"
    for (i = 1; i <= n_keys; i++) {
        key = order[i]
        words = ""
        for (k = 1; k <= n_options[key]; k++)
            words = words " --" long[key, k] (short[key, k] ? " -" short[key, k] : "")
        printf "    %s) REPLY=%s ;;\n", quoted(key), quoted(substr(words, 2))
    }
    print "    *) REPLY='' ;;\n    esac\n}\n\n_mlruns_tools_class() {\n    case $1 in"
    for (i = 1; i <= n_keys; i++) {
        key = order[i]
        for (k = 1; k <= n_options[key]; k++)
            if (takes[key, k] != "flag")
                printf "    %s%s) REPLY=%s ;;\n", quoted(key " --" long[key, k]),
                    short[key, k] ? "|" quoted(key " -" short[key, k]) : "",
                    quoted((takes[key, k] == "optional" ? "optional " : "") class[key, k])
    }
    print "    *) REPLY=flag ;;\n    esac\n}\n\n_mlruns_tools_operands() {\n    case $1 in"
    for (i = 1; i <= n_keys; i++)
        printf "    %s) REPLY=%s ;;\n", quoted(order[i]), quoted(operands[order[i]])
    print "    *) REPLY='' ;;\n    esac\n}\n\n_mlruns_tools_program() {\n    case $1 in"
    for (i = 1; i <= n_names; i++)
        printf "    %s) REPLY=%s ;;\n", command[name[i]], name[i]
    print "    *) REPLY='' ;;\n    esac\n}\n"
    printf "_mlruns_tools_commands='"
    for (i = 1; i <= n_names; i++)
        printf "%s ", command[name[i]]
    print "help'\n"
    printf "complete -F _mlruns_tools mlruns-tools"
    for (i = 1; i <= n_names; i++)
        printf " %s", name[i]
    print ""
}

function zsh_action(c)
{
    if (c ~ /^(files|directories|url|source|releases|revisions|kinds|experiments)$/)
        return "_mlruns_tools_" c
    return c == "none" ? " " : "(" c ")"
}

function zsh_text(text)
{
    gsub(/\[|\]|:|\\/, "\\\\&", text)
    return text
}

function write_zsh(i, k, j, key, n, spec, list, part)
{
    print "_mlruns_tools_complete() {\n    case $1 in"
    for (i = 1; i <= n_keys; i++) {
        key = order[i]
        if (key in commands) {
            printf "    %s)\n        _mlruns_tools_command %s && return\n", quoted(key), commands[key]
        } else
            printf "    %s)\n", quoted(key)
        printf "        _arguments -s -S"
        for (k = 1; k <= n_options[key]; k++)
            for (j = 0; j <= (short[key, k] != ""); j++) {
                spec = j ? "-" short[key, k] : "--" long[key, k]
                if (takes[key, k] == "repeated")
                    spec = "*" spec
                if (takes[key, k] == "optional")
                    spec = spec "=-"
                else if (takes[key, k] != "flag" && !j)
                    spec = spec "="
                spec = spec "[" zsh_text(help[key, k]) "]"
                if (takes[key, k] != "flag")
                    spec = spec (takes[key, k] == "optional" ? "::" : ":") zsh_text(arg[key, k]) ":" zsh_action(class[key, k])
                printf " \\\n            %s", quoted(spec)
            }
        n = key in commands ? 0 : split(operands[key], list, " ")
        for (k = 1; k <= n; k++)
            printf " \\\n            %s", quoted(k "::" list[k] ":" zsh_action(list[k]))
        print "\n        ;;"
    }
    print "    esac\n}\n\n_mlruns_tools_programs=("
    for (i = 1; i <= n_names; i++)
        printf "    %s %s\n", command[name[i]], name[i]
    print ")\n\n_mlruns_tools \"$@\""
}

function fish_action(c)
{
    if (c == "files")
        return " -r -F"
    if (c == "none" || c == "")
        return " -x"
    if (c ~ /^(directories|url|source|releases|revisions|kinds|experiments)$/)
        return " -x -a '(__mlruns_tools_" c ")'"
    return " -x -a " quoted(c)
}

# A completion of a program by its own name, and of the front command's; when is a condition besides.
function fish_both(program, when, rest)
{
    printf "complete -c %s%s%s\n", program, when ? " -n " quoted(when) : "", rest
    printf "complete -c mlruns-tools -n %s%s\n",
        quoted("__mlruns_tools_command " command[program] (when ? "; and " when : "")), rest
}

function write_fish(i, k, key, parts, program, when, n, list, classes)
{
    printf "set -g __mlruns_tools_with_value"
    for (i = 1; i <= n_keys; i++)
        for (k = 1; k <= n_options[order[i]]; k++)
            if (takes[order[i], k] ~ /required|repeated/ && !seen[long[order[i], k]]++)
                printf " --%s%s", long[order[i], k], short[order[i], k] ? " -" short[order[i], k] : ""
    print "\ncomplete -c mlruns-tools -f"
    for (i = 1; i <= n_names; i++)
        printf "complete -c %s -f\n", name[i]
    printf "complete -c mlruns-tools -n '__mlruns_tools_command' -a '"
    for (i = 1; i <= n_names; i++)
        printf "%s ", command[name[i]]
    print "help'"
    for (i = 1; i <= n_keys; i++) {
        key = order[i]
        split(key, parts, " ")
        program = parts[1]
        when = parts[2] ? "__fish_seen_subcommand_from " parts[2] : \
            commands[program] ? "not __fish_seen_subcommand_from " commands[program] : ""
        for (k = 1; k <= n_options[key]; k++)
            fish_both(program, when, " -l " long[key, k] (short[key, k] ? " -s " short[key, k] : "") \
                (takes[key, k] == "flag" || takes[key, k] == "optional" ? "" : fish_action(class[key, k])) \
                " -d " quoted(help[key, k]))
        n = split(operands[key], list, " ")
        if (commands[key] && n)
            fish_both(program, when, " -a " quoted(operands[key]))
        else if (n)
            for (k = 1; k <= n; k++)
                if (list[k] != list[k - 1])
                    fish_both(program, when, fish_action_operand(list[k]))
    }
}

function fish_action_operand(c)
{
    return " -a '(__mlruns_tools_" c ")'"
}
