// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Simulation;

/// <summary>
/// Makes things go wrong, one at a random time after the other, and each right again after a while: processes, links
/// and etcd. At the end everything is healed.
/// </summary>
internal sealed class FaultPlan(SimulatedMesh mesh)
{
    private static readonly TimeSpan MostBetween = TimeSpan.FromSeconds(6);
    private readonly SimulatedWorld _world = mesh.World;
    private readonly RandomSource _random = RandomSource.FromSeed((int)mesh.World.Random.NextUInt64());
    private EmbeddedSnapshot? _backup;
    private SimulatedNode? _twin;
    private bool _over;

    /// <summary>Starts making faults.</summary>
    public void Start() => Later();

    /// <summary>Ends every fault, and makes no more: all machines get a node that runs.</summary>
    public void HealAll()
    {
        _over = true;
        _world.Log("heal all");
        _world.Network.Weather = new NetworkWeather(TimeSpan.FromMilliseconds(1), 0, TimeSpan.FromMilliseconds(200));
        _world.Network.HealAll();
        _world.Etcd.SetFrozen(false);
        _world.Etcd.SetNoSpace(false);
        if (_twin is { } twin)
            mesh.KillTwin(twin);
        foreach (var node in mesh.Nodes)
        {
            node.Registry.SetFault(EmbeddedFault.None);
            node.Registry.WatchDelay = TimeSpan.Zero;
            node.Process.Resume();
        }
    }

    private void Later()
    {
        if (!_over)
            _world.Clock.After(Within(MostBetween), Next);
    }

    private void Next()
    {
        if (_over)
            return;
        int machine = _random.Next(mesh.Shape.Machines);
        switch (_random.Next(18))
        {
            case 0 or 1:
                mesh.Kill(machine, withMachine: _random.Next(3) == 0);
                Heal(20, () => mesh.Start(machine));
                break;
            case 2:
                mesh.Leave(machine, Within(TimeSpan.FromSeconds(2)));
                Heal(20, () => mesh.Start(machine));
                break;
            case 3:
                mesh.Start(machine);
                break;
            case 4:
                StopProcess(machine);
                break;
            case 5 or 6:
                CutLink(machine);
                break;
            case 7 or 8:
                Isolate(machine);
                break;
            case 9:
                Split();
                break;
            case 10:
                FaultEtcdOf(machine);
                break;
            case 11 or 12:
                FaultEtcd();
                break;
            case 13:
                BadWeather();
                break;
            case 14:
                ChangeWeight(machine);
                break;
            case 15:
                SlowWatch(machine);
                break;
            case 16:
                JumpClock(machine);
                break;
            default:
                StartTwin(machine);
                break;
        }

        Later();
    }

    private TimeSpan Within(TimeSpan most) => TimeSpan.FromMilliseconds(1 + _random.Next((int)most.TotalMilliseconds));

    private void Heal(int mostSeconds, Action heal)
    {
        _world.Clock.After(Within(TimeSpan.FromSeconds(mostSeconds)), () =>
        {
            if (!_over)
                heal();
        });
    }

    private void StopProcess(int machine)
    {
        if (mesh.NodeOn(machine) is not { Process: { IsDead: false, IsStopped: false } process })
            return;
        _world.Log($"stop {process.Name}");
        process.Stop();
        Heal(_random.Next(2) == 0 ? 2 : 15, () =>
        {
            _world.Log($"resume {process.Name}");
            process.Resume();
        });
    }

    private void CutLink(int machine)
    {
        int other = (machine + 1 + _random.Next(mesh.Shape.Machines - 1)) % mesh.Shape.Machines;
        bool bothWays = _random.Next(2) == 0;
        Set(machine, other, bothWays, cut: true);
        Heal(15, () => Set(machine, other, bothWays, cut: false));
    }

    private void Isolate(int machine)
    {
        bool bothWays = _random.Next(3) > 0;
        for (int other = 0; other < mesh.Shape.Machines; other++)
            Set(machine, other, bothWays, cut: true);
        // From etcd as well, or not.
        if (_random.Next(2) == 0)
            mesh.NodeOn(machine)?.Registry.SetFault(EmbeddedFault.Cut);
        Heal(15, () =>
        {
            for (int other = 0; other < mesh.Shape.Machines; other++)
                Set(machine, other, bothWays, cut: false);
            mesh.NodeOn(machine)?.Registry.SetFault(EmbeddedFault.None);
        });
    }

    /// <summary>Some machines on one side, the others on the other; etcd with one of them, or with all.</summary>
    private void Split()
    {
        int side = 1 + _random.Next((1 << mesh.Shape.Machines) - 2);
        int etcd = _random.Next(3);
        EachAcross(side, cut: true);
        SetEtcd(EmbeddedFault.Cut);
        Heal(20, () =>
        {
            EachAcross(side, cut: false);
            SetEtcd(EmbeddedFault.None);
        });

        void SetEtcd(EmbeddedFault fault)
        {
            foreach (var node in mesh.Nodes)
            {
                if (etcd < 2 && ((side >> node.Process.Machine) & 1) == etcd)
                    node.Registry.SetFault(fault);
            }
        }
    }

    private void EachAcross(int side, bool cut)
    {
        for (int a = 0; a < mesh.Shape.Machines; a++)
        {
            for (int b = 0; b < mesh.Shape.Machines; b++)
            {
                if (((side >> a) & 1) != ((side >> b) & 1))
                    Set(a, b, bothWays: false, cut);
            }
        }
    }

    private void Set(int from, int to, bool bothWays, bool cut)
    {
        Action<int, int> set = cut ? _world.Network.Cut : _world.Network.Heal;
        set(from, to);
        if (bothWays)
            set(to, from);
    }

    private void FaultEtcdOf(int machine)
    {
        if (mesh.NodeOn(machine) is not { } node)
            return;
        node.Registry.SetFault(_random.Next(2) == 0 ? EmbeddedFault.Cut : EmbeddedFault.Hung);
        if (_random.Next(3) == 0)
            node.Registry.LoseAnswers(1 + _random.Next(2));
        _world.Log($"etcd of {node.NodeId} {node.Registry.Fault}");
        Heal(15, () => node.Registry.SetFault(EmbeddedFault.None));
    }

    private void FaultEtcd()
    {
        int what = _random.Next(8);
        _world.Log($"etcd fault {what}");
        switch (what)
        {
            case 0:
                _world.Etcd.SetFrozen(true);
                Heal(20, () => _world.Etcd.SetFrozen(false));
                break;
            case 1:
                foreach (var node in mesh.Nodes)
                    node.Registry.SetFault(EmbeddedFault.Cut);
                Heal(20, () =>
                {
                    foreach (var node in mesh.Nodes)
                        node.Registry.SetFault(EmbeddedFault.None);
                });
                break;
            case 2:
                _world.Etcd.Wipe();
                mesh.History.Wipes++;
                mesh.PastLost();
                break;
            case 3:
                _world.Etcd.Compact(_world.Etcd.Revision);
                _world.Etcd.BreakWatches();
                break;
            case 4:
                _backup = _world.Etcd.Snapshot();
                break;
            case 5 when _backup is { } backup:
                _world.Etcd.Restore(backup);
                // One that was made while nothing was there is as good as a wipe.
                mesh.History.Wipes += backup.Entries.Any(entry => entry.Key == RegistryMirror.ConfigKey) ? 0 : 1;
                mesh.PastLost();
                break;
            case 6:
                _world.Etcd.SetNoSpace(true);
                Heal(10, () => _world.Etcd.SetNoSpace(false));
                break;
            default:
                _world.Etcd.BreakWatches();
                break;
        }
    }

    private void BadWeather()
    {
        var before = _world.Network.Weather;
        _world.Network.Weather = new NetworkWeather(TimeSpan.FromMilliseconds(1 + _random.Next(60)),
            _random.Next(50), TimeSpan.FromMilliseconds(100 + _random.Next(400)));
        Heal(15, () => _world.Network.Weather = before);
    }

    private void ChangeWeight(int machine)
    {
        if (mesh.NodeOn(machine) is not { IsUp: true } node)
            return;
        int weight = 25 << _random.Next(4);
        _world.Log($"weight of {node.NodeId} {weight}");
        _ = node.Process.Start(() => node.Node!.Membership.UpdateAsync(
            self => self with { Ring = self.Ring with { Weight = weight } }, CancellationToken.None));
    }

    private void SlowWatch(int machine)
    {
        if (mesh.NodeOn(machine) is not { } node)
            return;
        node.Registry.WatchDelay = Within(TimeSpan.FromSeconds(8));
        _world.Log($"watch of {node.NodeId} late {node.Registry.WatchDelay}");
        Heal(20, () => node.Registry.WatchDelay = TimeSpan.Zero);
    }

    private void JumpClock(int machine)
    {
        if (mesh.NodeOn(machine) is not { } node)
            return;
        node.Process.WallClockError = TimeSpan.FromMinutes(_random.Next(4000) - 2000);
        _world.Log($"wall clock of {node.NodeId} {node.Process.WallClockError}");
    }

    /// <summary>Somebody starts a second process with the name of a node that runs, or has just ended.</summary>
    private void StartTwin(int machine)
    {
        if (_twin is not null)
            return;
        var twin = _twin = mesh.StartTwin(machine, (machine + 1) % mesh.Shape.Machines);
        Heal(20, () =>
        {
            _twin = null;
            mesh.KillTwin(twin);
        });
    }
}
