"""Device nodes and groups: may this user open what the daemon needs?"""

import os

from machines import VIDEO, computer, jetson
from sites import site

from edge.doctor import access
from edge.doctor.finding import ok
from edge.doctor.machine import User


def test_a_user_in_both_groups(tmp_path):
    machine, _ = jetson(tmp_path)
    assert [f.level for f in access.gpu_devices(machine)] == ["ok"]
    assert list(access.groups(machine)) == [ok("groups", "edge is in video and render")]
    assert list(access.video_devices(machine)) == [ok("video devices", "/dev/video0")]


def test_a_user_without_the_groups(tmp_path):
    machine, _ = jetson(tmp_path, user=User("edge", 1000, frozenset({1000})))
    (finding,) = access.groups(machine)
    assert (finding.level, finding.what) == ("warn", "edge is not in video and render")
    assert finding.fix.startswith("sudo usermod -aG video,render edge")
    machine, _ = jetson(tmp_path / "2", user=User("edge", 1000, frozenset({VIDEO})))
    assert [f.what for f in access.groups(machine)] == ["edge is not in render"]


def test_root_and_containers_are_not_told_about_groups(tmp_path):
    root = User("root", 0, frozenset({0}))
    machine, tree = jetson(tmp_path, user=root)
    assert list(access.groups(machine)) == []
    tree.write(".dockerenv", "")
    machine, _ = jetson(tmp_path / "2", user=User("1000", 1000, frozenset({1000})))
    (tmp_path / "2" / ".dockerenv").touch()
    assert list(access.groups(machine)) == []


def test_a_node_that_may_not_be_opened(tmp_path):
    machine, _ = jetson(
        tmp_path,
        user=User("other", 1001, frozenset({1001})),
        may_use=lambda path: path.name != "renderD128",
    )
    (finding,) = access.gpu_devices(machine)
    group = machine.group_of(tmp_path / "dev/dri/renderD128")
    assert finding.level == "fail"
    assert finding.what == f"other may not open /dev/dri/renderD128 (group {group})"
    assert finding.fix == f"sudo usermod -aG {group} other, then log out and in again"


def test_a_user_who_joined_and_did_not_log_in_again(tmp_path):
    machine, tree = jetson(tmp_path, may_use=lambda path: path.name != "nvmap")
    gid = os.stat(tmp_path / "dev/nvmap").st_gid
    tree.write("etc/group", f"video:x:{gid}:edge\n")
    (finding,) = access.gpu_devices(machine)
    assert finding.fix == "edge joined the group video only now: log out and in again"
    tree.write("etc/group", f"video:x:{gid}:other\n")
    (finding,) = access.gpu_devices(machine)
    assert finding.fix == "sudo usermod -aG video edge, then log out and in again"


def test_a_container_gets_the_group_by_number(tmp_path):
    machine, tree = jetson(tmp_path, may_use=lambda path: path.name != "renderD128")
    tree.write("run/.containerenv", "")
    (finding,) = access.gpu_devices(machine)
    gid = os.stat(tmp_path / "dev/dri/renderD128").st_gid
    assert finding.fix == f"start the container with --group-add {gid}"


def test_a_container_without_the_nodes(tmp_path):
    machine, tree = jetson(tmp_path)
    tree.remove("dev/nvmap")
    (finding,) = access.gpu_devices(machine)
    assert (finding.level, finding.what) == ("fail", "/dev/nvmap is missing")
    assert "dmesg" in finding.fix
    tree.write(".dockerenv", "")
    (finding,) = access.gpu_devices(machine)
    assert "--runtime nvidia" in finding.fix


def test_jetpack_5s_names_of_the_nodes_will_do(tmp_path):
    machine, tree = jetson(tmp_path)
    tree.remove("dev/nvgpu/igpu0/ctrl")
    assert [f.level for f in access.gpu_devices(machine)] == ["fail"]
    tree.write("dev/nvhost-ctrl-gpu", "")
    assert [f.level for f in access.gpu_devices(machine)] == ["ok"]


def test_a_camera_that_may_not_be_opened(tmp_path):
    machine, tree = computer(tmp_path, may_use=lambda path: path.name != "video1")
    assert list(access.video_devices(machine)) == []
    tree.write("dev/video0", "")
    tree.write("dev/video1", "")
    (finding,) = access.video_devices(machine)
    assert finding.level == "warn"
    assert "edge may not open /dev/video1" in finding.what


def test_csi_cameras_need_their_daemon(tmp_path):
    machine, tree = jetson(tmp_path)
    csi = site(tmp_path / "csi", "csi:0").config
    other = site(tmp_path / "other", "shapes:").config
    assert list(access.argus(machine, other)) == []
    assert list(access.argus(machine, None)) == []
    (finding,) = access.argus(machine, csi)
    assert (finding.level, finding.fix) == ("fail", "sudo systemctl restart nvargus-daemon")
    tree.write(".dockerenv", "")
    (finding,) = access.argus(machine, csi)
    assert finding.fix.endswith("-v /tmp/argus_socket:/tmp/argus_socket")
    tree.write("tmp/argus_socket", "")
    assert [f.level for f in access.argus(machine, csi)] == ["ok"]
    pc, _ = computer(tmp_path / "pc")
    assert [f.level for f in access.argus(pc, csi)] == ["fail"]
