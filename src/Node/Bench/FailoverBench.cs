// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Node.Bench;

/// <summary>
/// "bench failover": the longest time without an answer for a key that is asked for all the time, from before a loss
/// until the mesh has settled without what it lost: a node killed, a machine cut off, etcd killed. The limit is what is
/// asked for. Needs root.
/// </summary>
internal static class FailoverBench
{
    private const int Rounds = 9;
    private static readonly TimeSpan EtcdAway = TimeSpan.FromSeconds(8);

    internal static async Task RunAsync(BenchReport report, BenchOptions options)
    {
        if (options.Etcd is not null)
        {
            throw new MeshException(new MeshError(MeshErrorCode.InvalidArgument, "bench",
                $"--etcd is '{options.Etcd}': 'bench failover' kills its etcd, and so starts its own"));
        }

        await using (FailoverMesh mesh = await StartAsync())
        {
            Add(report, "killed", await KillAsync(mesh, options.Cancel), median: 50, longest: 200);
            await LoseEtcdAsync(report, mesh, options.Cancel);
        }

        await using RailNetwork network = await RailNetwork.StartAsync("1gbit", options.Cancel);
        Add(report, "vanished", await VanishAsync(network, options.Cancel), median: null, longest: 1000);
    }

    private static async Task<FailoverMesh> StartAsync()
    {
        BenchMesh mesh = await BenchMesh.StartAsync(null, FailoverMesh.Victim + 1, FailoverMesh.SegmentBytes,
            FailoverMesh.Flags);
        return new FailoverMesh(mesh, await mesh.ConnectAsync());
    }

    private static void Add(BenchReport report, string loss, List<WatchedKey[]> rounds, double? median, double longest)
    {
        for (int i = 0; i < FailoverMesh.Keys.Count; i++)
        {
            double[] gaps = [.. rounds.Select(round => round[i].Gap)];
            string name = $"failover.{loss}.{FailoverMesh.Keys[i]}";
            double middle = Alternating.Median(gaps);
            report.Add(new BenchRow($"{name}.median", middle, "ms", median, middle / median));
            report.Add(new BenchRow($"{name}.longest", gaps[^1], "ms", longest, gaps[^1] / longest));
        }

        report.Add(new BenchRow($"failover.{loss}.failed_calls", rounds.Sum(round => round.Sum(key => key.Failed)),
            "calls"));
    }

    private static async Task<List<WatchedKey[]>> KillAsync(FailoverMesh mesh, CancellationToken cancel)
    {
        var met = new List<WatchedKey[]>();
        for (int round = 0; round < Rounds; round++)
        {
            await mesh.SettleAsync(FailoverMesh.Victim + 1, cancel);
            await mesh.PutAsync(round, cancel);
            await mesh.WatchAsync(cancel);
            mesh.Mesh.KillNode(FailoverMesh.Victim);
            await mesh.SettleAsync(FailoverMesh.Victim, cancel);
            met.Add(await mesh.EndAsync());
            await mesh.Mesh.AddNodeAsync(FailoverMesh.Victim, FailoverMesh.SegmentBytes, FailoverMesh.Flags);
        }

        return met;
    }

    /// <summary>The longest gap while etcd is away, beside that of as long a time before.</summary>
    private static async Task LoseEtcdAsync(BenchReport report, FailoverMesh mesh, CancellationToken cancel)
    {
        double[] with = new double[Rounds];
        double[] without = new double[Rounds];
        int failed = 0;
        for (int round = 0; round < Rounds; round++)
        {
            await mesh.SettleAsync(FailoverMesh.Victim + 1, cancel);
            await mesh.PutAsync(Rounds + round, cancel);
            await mesh.WatchAsync(cancel);
            await Task.Delay(EtcdAway, cancel);
            with[round] = (await mesh.EndAsync()).Max(key => key.Gap);
            await mesh.WatchAsync(cancel);
            mesh.Mesh.KillEtcd();
            await Task.Delay(EtcdAway, cancel);
            WatchedKey[] met = await mesh.EndAsync();
            without[round] = met.Max(key => key.Gap);
            failed += met.Sum(key => key.Failed);
            await mesh.Mesh.RestartEtcdAsync();
        }

        double before = Alternating.Median(with);
        double after = Alternating.Median(without);
        report.Add(new BenchRow("failover.etcd.failed_calls", failed, "calls", 0));
        report.Add(new BenchRow("failover.etcd.any.median", after, "ms", before, after / before));
        report.Add(new BenchRow("failover.etcd.any.longest", without[^1], "ms", with[^1], without[^1] / with[^1]));
    }

    private static async Task<List<WatchedKey[]>> VanishAsync(RailNetwork network, CancellationToken cancel)
    {
        var (callers, line) = await PeerProcess.StartWithinAsync(network.Within(network.Server), cancel,
            BenchPeers.Command, FailoverPeer.Role, RailNetwork.ServerAddresses[0]);
        using (callers)
        {
            string[] where = line.Split(' ');
            var (victim, _) = await PeerProcess.StartWithinAsync(network.WithinOtherHost(network.Client), cancel,
            [
                "serve", "--json", "--node-id", BenchMesh.NodeId(FailoverMesh.Victim), "--cluster", where[0],
                "--etcd-endpoints", where[1], "--segments", $"{FailoverMesh.SegmentBytes}", "--log-level", "error",
                .. FailoverPeer.FlagsOn(RailNetwork.ClientAddresses[0]),
            ]);
            using (victim)
                return await VanishAsync(network, callers, cancel);
        }
    }

    private static async Task<List<WatchedKey[]>> VanishAsync(RailNetwork network, PeerProcess callers,
        CancellationToken cancel)
    {
        var met = new List<WatchedKey[]>();
        for (int round = 0; round < Rounds; round++)
        {
            await AskAsync(callers, $"settle {FailoverMesh.Victim + 1}", cancel);
            await AskAsync(callers, $"put {round}", cancel);
            await AskAsync(callers, "watch", cancel);
            await network.SetLinkAsync(network.Client, 0, up: false, cancel);
            await AskAsync(callers, $"settle {FailoverMesh.Victim}", cancel);
            met.Add(FailoverPeer.Parse(await AskAsync(callers, "end", cancel)));
            await network.SetLinkAsync(network.Client, 0, up: true, cancel);
        }

        return met;
    }

    private static async Task<string> AskAsync(PeerProcess callers, string line, CancellationToken cancel)
    {
        string answer = await callers.AskAsync(line, cancel);
        return answer.StartsWith("error", StringComparison.Ordinal)
            ? throw new MeshException(new MeshError(MeshErrorCode.System, "bench", $"'{line}': {answer}"))
            : answer;
    }
}
