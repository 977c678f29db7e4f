# Keeps one engine for as long as standard input is open, then stops it and removes its throw-away folder.
# Arguments: stop signal, grace in seconds, log file, folder to remove (or nothing), then the engine's command.
# Standard error is the lock of the engine's folder: as descriptor 9 it stays locked until this shell and the engine
# are gone. Prints the engine's process id. "keep" on standard input means: stop it, but remove nothing.
# A signal ends what is read, also when it comes before the reading has begun.
trap 'exec </dev/null' HUP INT TERM
exec 9>&2 2>/dev/null
signal=$1 checks=$(($2 * 50)) log=$3 folder=$4
shift 4
"$@" </dev/null >>"$log" 2>&1 &
engine=$!
echo "$engine"
exec >/dev/null
read -r word || word=gone
kill -s "$signal" "$engine"
while kill -s 0 "$engine"; do
    [ "$checks" -gt 0 ] || kill -s KILL "$engine"
    checks=$((checks - 1))
    sleep 0.02
done
[ "$word" = keep ] || [ -z "$folder" ] || rm -rf "$folder" || { sleep 1 && rm -rf "$folder"; }
