"""Plays the calls that csi-wekafs makes, in its order and with its bodies, with plain HTTP.

It checks what that driver checks: statuses, JSON bodies, and the types that its decoder insists on.
Usage: csi.py URL USER PASSWORD
"""

import datetime
import json
import sys
import urllib.error
import urllib.parse
import urllib.request
import uuid

URL, USER, PASSWORD = sys.argv[1:4]
token = None


def call(method, path, body=None, query=None, status=200):
    url = f"{URL}/api/v2/{path}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method)
    request.add_header("content-type", "application/json")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request) as answer:
            got, text = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        got, text = error.code, error.read()
    told = json.loads(text)
    assert got == status, f"{method} {path}: {got}, wanted {status}: {told}"
    assert "next_token" not in told
    return told["data"] if got == 200 else told


def is_filesystem(told):
    uuid.UUID(told["uid"])
    assert isinstance(told["id"], str) and isinstance(told["group_id"], str)
    for name in ("free_total", "total_budget", "used_total", "available_total", "ssd_budget", "free_ssd"):
        assert isinstance(told[name], int), name
    for name in ("is_ready", "is_creating", "is_removing", "is_encrypted", "auth_required"):
        assert isinstance(told[name], bool), name
    assert told["obs_buckets"] == [] and told["object_storages"] == []
    return told


def is_snapshot(told):
    uuid.UUID(told["uid"])
    uuid.UUID(told["filesystemUid"])
    assert isinstance(told["id"], str) and isinstance(told["filesystemId"], str)
    assert isinstance(told["progress"], int) and told["stowStatus"] == "NONE"
    datetime.datetime.fromisoformat(told["creationTime"].replace("Z", "+00:00")[:19])
    assert told["isRemoving"] is False and told["multiObs"] is False and told["locator"] == ""
    return told


# Logging in, and what the driver asks before anything else.
wrong = call("POST", "login", {"username": USER, "password": "wrong", "org": ""}, status=401)
assert isinstance(wrong["data"], str)
session = call("POST", "login", {"username": USER, "password": PASSWORD, "org": "Root"})
assert session["token_type"] == "Bearer" and session["expires_in"] > 60
token = session["access_token"]
expiry = call("GET", "security/defaultTokensExpiry")
assert expiry["access_token_expiry"] > 60 < expiry["refresh_token_expiry"]
who = call("GET", "users/whoami")
uuid.UUID(who["uid"])
assert who["username"] == USER and who["role"] in ("ClusterAdmin", "OrgAdmin", "CSI"), who
cluster = call("GET", "cluster")
uuid.UUID(cluster["guid"])
assert [int(part) for part in cluster["release"].split(".")] >= [4, 0, 0]
assert cluster["capacity"]["unprovisioned_bytes"] > 0
assert call("GET", "containers") == []
session = call("POST", "login/refresh", {"refresh_token": session["refresh_token"]})
token = session["access_token"]

# A volume that is a filesystem.
GIB = 1 << 30
name = "csivol-pvc-0123456789"
assert call("GET", "fileSystems", query={"name": name}) == []
made = is_filesystem(call("POST", "fileSystems", {"name": name, "group_name": "default", "total_capacity": GIB}))
assert made["is_ready"] and made["total_budget"] == GIB
again = call("POST", "fileSystems", {"name": name, "group_name": "default", "total_capacity": GIB}, status=409)
assert "exists" in again["message"]
found = call("GET", "fileSystems", query={"name": name})
assert [is_filesystem(one)["uid"] for one in found] == [made["uid"]]
one = is_filesystem(call("GET", f"fileSystems/{made['uid']}", query={"force_fresh": "false"}))
assert one["name"] == name and one["id"] == made["id"]
larger = call("PUT", f"fileSystems/{made['uid']}", {"total_capacity": 2 * GIB})
assert larger["total_budget"] == 2 * GIB
assert call("GET", f"fileSystems/{made['uid']}/mountToken")["filesystem_name"] == name

# Paths and quotas, as for a volume that is a directory.
root = call("GET", f"fileSystems/{made['uid']}/resolvePath", query={"path": "/"})["inode_id"]
assert isinstance(root, str) and int(root) > 0
missing = call("GET", f"fileSystems/{made['uid']}/resolvePath", query={"path": "/none"}, status=400)
assert "PATH_NOT_FOUND" in missing["message"]
quota = f"fileSystems/{made['uid']}/quota/{root}"
assert "Directory has no quota" in call("GET", quota, status=404)["message"]
call("PUT", quota, {"hard_limit_bytes": GIB, "soft_limit_bytes": GIB, "path": "/", "grace_seconds": 0})
told = call("GET", quota)
assert told["inode_id"] == int(root) and told["status"] == "ACTIVE"
assert told["hard_limit_bytes"] == told["soft_limit_bytes"] == GIB
call("PUT", quota, {"hard_limit_bytes": (1 << 63) - 1, "soft_limit_bytes": GIB, "grace_seconds": 0})
told = call("GET", f"fileSystems/{made['uid']}/quota")
assert len(told) == 1 and told[0]["soft_limit_bytes"] == GIB < told[0]["hard_limit_bytes"]
call("DELETE", f"fileSystems/{made['uid']}/quotas/{root}")
assert call("GET", f"fileSystems/{made['uid']}/quota") == []

# A blank volume from the seed, a snapshot of it, a volume of the snapshot.
def snapshot(name, source=None, writable=False):
    wish = {"fs_uid": made["uid"], "name": name, "access_point": name[-12:]}
    if source:
        wish["source_snap_uid"] = source["uid"]
    if writable:
        wish["is_writable"] = True
    told = is_snapshot(call("POST", "snapshots", wish))
    assert told["name"] == name and told["accessPoint"] == name[-12:] and told["isWritable"] is writable
    assert told["filesystem"] == one["name"] and told["filesystemUid"] == made["uid"]
    return told


assert call("GET", "snapshots", query={"name": "csivol-seed"}) == []
seed = snapshot("csivol-seed00000000")
volume = snapshot("csivol-a00000000001", seed, True)
taken = snapshot("csisnp-a00000000002", volume)
clone = snapshot("csivol-a00000000003", taken, True)
assert [is_snapshot(one)["uid"] for one in call("GET", "snapshots", query={"name": taken["name"]})] == [taken["uid"]]
assert len(call("GET", "snapshots", query={"filesystem": name})) == 4
assert len(call("GET", "snapshots", query={"access_point": clone["accessPoint"]})) == 1
assert call("GET", "snapshots", query={"filesystem": "none"}) == []
wish = {"fs_uid": made["uid"], "name": taken["name"], "access_point": "other"}
assert "name already exists" in call("POST", "snapshots", wish, status=409)["message"]
wish = {"fs_uid": made["uid"], "name": "other", "access_point": taken["accessPoint"]}
assert "accessPoint already exists" in call("POST", "snapshots", wish, status=409)["message"]
# The driver sends all members, also those that are to stay.
renamed = call("PUT", f"snapshots/{taken['uid']}", {"new_name": "csisnp-new", "access_point": "", "is_writable": False})
assert renamed["name"] == "csisnp-new" and renamed["accessPoint"] == taken["accessPoint"]
assert call("GET", f"snapshots/{taken['uid']}")["name"] == "csisnp-new"
restored = call("POST", f"snapshots/{made['uid']}/{seed['uid']}/restore", {})
assert restored["uid"] == seed["uid"]

# Everything goes again. A filesystem with snapshots does not.
assert "snapshots" in call("DELETE", f"fileSystems/{made['uid']}", status=409)["message"]
for one in (clone, taken, volume, seed):
    call("DELETE", f"snapshots/{one['uid']}")
    gone = call("GET", f"snapshots/{one['uid']}", status=404)
    assert gone["data"]["exceptionClass"] == "SnapshotDoesNotExistException", gone
    call("DELETE", f"snapshots/{one['uid']}", status=404)
call("DELETE", f"fileSystems/{made['uid']}")
gone = call("GET", f"fileSystems/{made['uid']}", status=404)
assert gone["data"]["exceptionClass"] == "FilesystemDoesNotExistException", gone
print("ok")
