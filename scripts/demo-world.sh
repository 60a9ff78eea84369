# shellcheck shell=bash
# What the demo's story plays with: images, instances, their users, and the proof. Sourced by scripts/demo.
#
# Nothing in here uses tidegate, so that what it proves does not rest on tidegate's word.

# Every container and volume of the demo begins so.
PREFIX=tidegate-demo
STACKS=/appsmith-stacks
# A factor on all waiting times that the stand-in imitates: a start takes seconds, not minutes.
TIME_SCALE=0.02
# Seeded into every instance; see tests/standin.
ADMIN=admin@standin.test
ADMIN_PASSWORD=standin-password
# What counts as an instance's data, below $STACKS, and what changes by merely running.
DATA=(configuration/docker.env data/mongodb git-storage ssl ca-certs)
PASSING=(mongodb/mongod.lock mongodb/log mongodb/fcv-probe.log)

container_of() { echo "$PREFIX-$1"; }
volume_of() { echo "$PREFIX-$1-data"; }
port_of_instance() { cat "$WORK/ports/$1"; }

# ---------------------------------------------------------------------------------------------------------------------
# Images

# push_version VERSION [image options]: makes the stand-in of that version and pushes it, unless the registry has it.
push_version() {
    local version=$1 reference="$IMAGE:$1" stamp="$WORK/images/$1" wanted
    shift
    mkdir -p "$WORK/images"
    wanted="$(sha256sum <"$STANDIN_BIN") $reference --scale $TIME_SCALE $*"
    if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && answers "http://$REGISTRY/v2/${IMAGE#*/}/manifests/$version"; then
        note "$version is in the registry"
        return
    fi
    tests/standin/image "$reference" --version "$version" --scale "$TIME_SCALE" "$@" >/dev/null
    docker push -q "$reference" >/dev/null
    echo "$wanted" >"$stamp"
    note "$version pushed to $IMAGE${*:+   ($*)}"
}

# forget_image REFERENCE: this host does not have it any more; the registry does.
forget_image() { docker image rm "$1" >/dev/null 2>&1 || true; }

# ---------------------------------------------------------------------------------------------------------------------
# Instances

# start_instance NAME VERSION APPS MEGABYTES SEED: a container with a seeded volume.
start_instance() {
    local name=$1 reference="$IMAGE:$2" port
    port=$(port_of_instance "$name")
    docker volume create --label "dev.tidegate.demo=$ROOT" "$(volume_of "$name")" >/dev/null
    docker run --rm -v "$(volume_of "$name"):$STACKS" "$reference" seed --apps "$3" --megabytes "$4" --seed "$5" |
        sed -n "s/^seeded \(.*\) in .*/   $name: $2 on port $port, seeded with \1/p"
    docker run -d --name "$(container_of "$name")" --restart unless-stopped -p "127.0.0.1:$port:80" \
        -v "$(volume_of "$name"):$STACKS" "$reference" >/dev/null
}

await_instance() {
    wait_until 60 is_well "$1" || die "$1 does not become ready; see: docker logs $(container_of "$1")"
}

# Docker calls it healthy, and its API does, too.
is_well() { [ "$(health_of "$1")" = healthy ] && answers "http://127.0.0.1:$(port_of_instance "$1")/api/v1/health"; }

health_of() { docker inspect --format '{{.State.Health.Status}}' "$(container_of "$1")"; }
id_of() { docker inspect --format '{{.Id}} since {{.State.StartedAt}}' "$(container_of "$1")" | cut -c 1-12,65-; }
version_of() { curl -fsS --max-time 5 "http://127.0.0.1:$(port_of_instance "$1")/info" | jq -r .version; }

# The format of the data on disk. A newer version raises it when it migrates; an older one refuses to read it.
format_of() { docker cp "$(container_of "$1"):$STACKS/data/mongodb/.appsmith-mongo-fcv-min" - | tar -xO; }

# ---------------------------------------------------------------------------------------------------------------------
# Users: the REST interface, as the editor in a browser uses it

# api INSTANCE METHOD PATH [JSON]: prints the answer's data. Fails where the outer or the inner status is an error.
api() {
    local answer
    answer=$(curl -sS --max-time 20 -b "$WORK/run/cookies.$1" -H 'X-Requested-By: Appsmith' -X "$2" \
        ${4:+-H 'Content-Type: application/json' --data "$4"} "http://127.0.0.1:$(port_of_instance "$1")/api/v1/$3")
    if ! jq -e '.responseMeta.success' >/dev/null 2>&1 <<<"$answer"; then
        note "$2 $3 answers: ${answer:0:300}" >&2
        return 1
    fi
    jq -c .data <<<"$answer"
}

# login INSTANCE: opens a session; prints who is logged in.
login() {
    rm -f "$WORK/run/cookies.$1"
    curl -sS --max-time 20 -o /dev/null -c "$WORK/run/cookies.$1" -H 'X-Requested-By: Appsmith' \
        --data-urlencode "username=$ADMIN" --data-urlencode "password=$ADMIN_PASSWORD" \
        "http://127.0.0.1:$(port_of_instance "$1")/api/v1/login"
    api "$1" GET users/me | jq -r 'if .isAnonymous then "nobody" else .email end'
}

# The names of all applications, one a line, sorted.
applications_of() {
    local workspace
    for workspace in $(api "$1" GET workspaces/home | jq -r '.[].id'); do
        api "$1" GET "applications/home?workspaceId=$workspace" | jq -r '.[].name'
    done | sort
}

# application INSTANCE NAME: its id and that of its first page.
application() {
    local workspace
    for workspace in $(api "$1" GET workspaces/home | jq -r '.[].id'); do
        api "$1" GET "applications/home?workspaceId=$workspace" |
            jq -r --arg name "$2" '.[] | select(.name == $name) | "\(.id) \(.pages[0].id)"'
    done
}

# opens INSTANCE APPLICATION: whether its first page loads, with everything inside that answer.
opens() {
    local app page view
    view=$(application "$1" "$2")
    read -r app page <<<"$view"
    view=$(api "$1" GET "consolidated-api/view?applicationId=$app&defaultPageId=$page") || return 1
    jq -e '[.[] | select(type == "object" and has("responseMeta")) | .responseMeta.success] | all' >/dev/null <<<"$view"
}

# ---------------------------------------------------------------------------------------------------------------------
# Proof

# fingerprint INSTANCE FILE: every file, folder and link of its data into FILE: mode, owner, size, name, link target,
# and the SHA-256 of each file's bytes. Read by `docker cp` and `tar`; the instance may run.
fingerprint() {
    local container place scratch lister file=$2
    container=$(container_of "$1")
    scratch=$(mktemp -d "$WORK/proof/scratch.XXXXXX")
    local exclude=("${PASSING[@]/#/--exclude=}")
    for place in "${DATA[@]}"; do
        mkdir -p "$scratch/tree/$place"
        # Listed and unpacked in one pass. Without times: starting an instance may move those.
        exec 7> >(tar --numeric-owner --quoting-style=escape "${exclude[@]}" -tvf - |
            sed -E "s|^([^ ]+ [^ ]+) +([^ ]+) [^ ]+ [^ ]+ |\1 \2 $(dirname "$place")/|" >>"$scratch/names")
        lister=$!
        docker cp "$container:$STACKS/$place" - | tee -p /dev/fd/7 |
            tar --no-same-owner "${exclude[@]}" -xf - -C "$scratch/tree/$place"
        exec 7>&-
        wait "$lister"
    done
    (cd "$scratch/tree" && find . -type f -print0 | sort -z | xargs -0 sha256sum) >"$scratch/contents"
    cat "$scratch/names" "$scratch/contents" >"$file"
    find "$scratch/tree" -type f -printf '%s\n' | awk '{ sum += $1 } END { printf "%d %.0f\n", NR, sum }' >"$file.size"
    rm -rf "$scratch"
}

# tell_fingerprint TEXT FILE: one line about it.
tell_fingerprint() {
    local files bytes
    read -r files bytes <"$2.size"
    note "$1: $files files, $((bytes / 1000000)) MB, all in all sha256 $(sha256sum <"$2" | cut -c 1-16)…"
}
