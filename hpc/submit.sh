#!/bin/bash
# Submit all participants that are not done, and the group level after them. Repeat it to resume.
set -euo pipefail

usage="usage: submit.sh [--dry-run | --prepare | --group] SETTINGS
  --dry-run   list the participants that would be run, and write nothing
  --prepare   write the list of tasks, submit nothing, and print the folder of the list last
              (for other schedulers)
  --group     submit the group level alone"

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=hpc/common.sh
source "$here/common.sh"

# submit OPTION... FILE ARGUMENT...: print the job's number.
submit() {
    local job
    job=$(sbatch --parsable "$@") || stop "sbatch refused the job; its message is above"
    printf '%s\n' "${job%%;*}" | tee -a "$folder/jobs.txt"
}

# Two jobs with the same participants would do everything twice.
refuse_if_running() {
    local jobs
    jobs=$(cat "$OUT"/logs/slurm/*/jobs.txt 2>/dev/null | grep -xE '[0-9]+' | tail -n 500 |
        paste -sd,) || true
    [[ -n $jobs ]] || return 0
    jobs=$(squeue -h -j "$jobs" -o %F 2>/dev/null | sort -u | paste -sd' ') || true
    [[ -z $jobs ]] || stop "still in the queue: $jobs. Wait for them, or: scancel $jobs"
}

# write_submission: a folder with all that the jobs read, independent of later changes.
write_submission() {
    mkdir -p "$OUT/logs/slurm"
    folder=$(mktemp -d "$OUT/logs/slurm/$(date +%Y%m%dT%H%M%S)-XXXX")
    chmod 755 "$folder"
    cp "$here/common.sh" "$folder/common.sh"
    cp "$settings" "$folder/settings.sh"
    cp "$work/pending.tsv" "$folder/pending.tsv"
    write_tasks <"$folder/pending.tsv" >"$folder/tasks.txt"
}

# write_tasks: the participants of each task on a line, of a table with a heading.
write_tasks() {
    local name names=()
    read -r name
    while IFS=$'\t' read -r name _; do
        is_participant "$name" || stop "not the name of a participant: $(printf %q "$name")"
        names+=("$name")
        if ((${#names[@]} == PARTICIPANTS_PER_TASK)); then
            printf '%s\n' "${names[*]}"
            names=()
        fi
    done
    ((${#names[@]} == 0)) || printf '%s\n' "${names[*]}"
}

# submit_arrays TASKS: as many arrays as Slurm's limit requires, one after the other.
submit_arrays() {
    local longest before count
    longest=$(scontrol show config | awk '$1 == "MaxArraySize" {print $3 - 1}')
    for ((before = 0; before < $1; before += longest)); do
        count=$(($1 - before < longest ? $1 - before : longest))
        after=$(submit "${PARTICIPANT_SBATCH[@]}" ${after:+"--dependency=afterany:$after"} \
            --array="1-$count%$TASKS_AT_ONCE" --output="$folder/%x-%A_%a.out" \
            "$here/tmsprep_array.sbatch" "$folder" "$before")
        printf 'job %s: tasks %d to %d\n' "$after" "$((before + 1))" "$((before + count))"
    done
}

# After a failed task the group level must not wait for ever: afterany, not afterok.
submit_group() {
    local job
    job=$(submit "${GROUP_SBATCH[@]}" ${after:+"--dependency=afterany:$after"} \
        --output="$folder/%x-%j.out" "$here/tmsprep_group.sbatch" "$folder")
    printf 'job %s: group level\n' "$job"
}

mode=submit
case ${1:-} in
    --dry-run | --prepare | --group) mode=${1#--} && shift ;;
esac
[[ $# -eq 1 && $1 != -* ]] || stop "$usage"
settings=$1 after=''
read_settings "$settings"
if [[ $mode == submit || $mode == group ]]; then
    command -v sbatch >/dev/null || stop 'there is no sbatch here; for other schedulers: --prepare'
    refuse_if_running
fi
# A container can only bind what exists.
[[ $mode == dry-run && -n $VENV ]] || mkdir -p "$OUT"
make_work

if [[ $mode == group ]]; then
    printf 'participant_id\treason\n' >"$work/pending.tsv"
else
    list_pending >"$work/pending.tsv"
fi
participants=$(($(wc -l <"$work/pending.tsv") - 1))
tasks=$(((participants + PARTICIPANTS_PER_TASK - 1) / PARTICIPANTS_PER_TASK))
if [[ $mode == dry-run ]]; then
    cat "$work/pending.tsv"
    exit
fi
if ((participants == 0)) && [[ $mode != group ]]; then
    printf 'all participants are done; --group submits the group level alone\n'
    exit
fi
write_submission
printf 'participants: %d, tasks: %d; list, settings and logs: %s\n' "$participants" "$tasks" "$folder"
if [[ $mode == prepare ]]; then
    printf '%s\n' "$folder"
    exit
fi
submit_arrays "$tasks"
submit_group
