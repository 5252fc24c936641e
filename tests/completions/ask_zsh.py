"""What zsh offers at the end of each line of standard input, into zsh/1, zsh/2 …: on a terminal, as completion works in zsh's line
editor alone. $COMPLETIONS/zsh holds the functions, $BATS_FILE_TMPDIR/zcompdump what compinit has written."""
import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios

SETTINGS = r'''
PS1=' '
# The list is shown, however long: a question would take the next line's first character for its answer.
LISTMAX=0
unsetopt zle_bracketed_paste prompt_cr prompt_sp
fpath=($COMPLETIONS/zsh $fpath)
autoload -Uz compinit
compinit -C -u -d $BATS_FILE_TMPDIR/zcompdump
zstyle ':completion:*' list-grouped false
asked=0
offered() {
    : >zsh/$((++asked))
    zle list-choices
    BUFFER=
    zle redisplay
    print listed $asked
}
zle -N offered
bindkey '^I' offered
# Takes down what completion is given, a word a line.
compadd() {
    local -a words
    if [[ ${@[(I)-[OAD]]} -eq 0 ]]; then
        builtin compadd -O words "$@"
        (($#words)) && print -rl -- $words >>zsh/$asked
    fi
    builtin compadd "$@"
}
print read""y
'''


def main():
    with open('zshrc', 'w', encoding='utf-8') as f:
        f.write(SETTINGS)
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack('HHHH', 400, 200, 0, 0))
    env = dict(os.environ, TERM='dumb')
    shell = subprocess.Popen(['zsh', '-f', '-i'], stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True)
    os.close(slave)

    def send(text, answer):
        os.write(master, text.encode())
        seen = ''
        while answer + '\n' not in seen.replace('\r', '\n'):
            if not select.select([master], [], [], 120)[0]:
                sys.exit(f'never: {answer}\n{seen}')
            seen += os.read(master, 65536).decode()

    send('source zshrc\n', 'ready')
    for i, line in enumerate(sys.stdin.read().splitlines(), 1):
        send(line + '\t', f'listed {i}')
    shell.kill()
    shell.wait()


main()
