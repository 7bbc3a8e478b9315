# Says how far the copy of a member's directories is, once that is something else than what is known, or after
# so many seconds: sh -c SCRIPT progress KNOWN SECONDS
file=${WINDLASS_ROOT-}/mnt/etc/kubedirector-init-progress-bar.log
patience=$2
while :; do
    text=$(cat "$file" 2>/dev/null) || text=
    [ "$text" = "$1" ] && [ "$patience" -gt 0 ] || break
    patience=$((patience - 1))
    sleep 1
done
printf '%s\n' "$text"
