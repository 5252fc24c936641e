# ask.bash FILE: what bash offers at the end of each line of standard input by the completions in FILE, into bash/1, bash/2 …
# COMP_WORDS are split as readline splits them.
shopt -s extglob
source "$1"
COMP_TYPE=${COMP_TYPE:-9}
for ((i = 1; ; i++)); do
    IFS= read -r COMP_LINE || break
    COMP_POINT=${#COMP_LINE} COMP_WORDS=() rest=$COMP_LINE
    while [[ $rest ]]; do
        case $rest in
        [[:space:]]*)
            rest=${rest##+([[:space:]])}
            [[ $rest ]] || COMP_WORDS+=("")
            continue
            ;;
        [:=]*) word=${rest%%[!:=]*} ;;
        *) word=${rest%%[[:space:]:=]*} ;;
        esac
        COMP_WORDS+=("$word") rest=${rest#"$word"}
    done
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    complete -p "${COMP_WORDS[0]}" >/dev/null || exit
    _mlruns_tools "${COMP_WORDS[0]}"
    printf '%s\n' "${COMPREPLY[@]}" >bash/$i
done
