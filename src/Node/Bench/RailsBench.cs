// SPDX-License-Identifier: Apache-2.0

using System.Globalization;

namespace Mooncake.Mesh.Node.Bench;

/// <summary>
/// "bench rails": a get of 256 MiB between two network namespaces over two links of 1 Gbit/s each; its limit is the
/// same get over one of them, by turns. Needs root.
/// </summary>
internal static class RailsBench
{
    private const string Rate = "1gbit";
    private const double BitsPerSecond = 1e9;

    internal static async Task RunAsync(BenchReport report, BenchOptions options)
    {
        if (options.Etcd is not null)
        {
            throw new MeshException(new MeshError(MeshErrorCode.InvalidArgument, "bench",
                $"--etcd is '{options.Etcd}': 'bench rails' starts its own etcd within the namespace"));
        }

        BenchMesh.EtcdProgram();
        await using RailNetwork network = await RailNetwork.StartAsync(Rate, options.Cancel);
        var (server, ready) = await PeerProcess.StartWithinAsync(network.Within(network.Server), options.Cancel,
            BenchPeers.Command, RailPeers.ServerRole, string.Join(',', RailNetwork.ServerAddresses));
        using (server)
        {
            string[] words = ready.Split(' ');
            var (client, _) = await PeerProcess.StartWithinAsync(network.Within(network.Client), options.Cancel,
                BenchPeers.Command, RailPeers.ClientRole, words[0], words[1],
                string.Join(',', RailNetwork.ClientAddresses));
            using (client)
                await MeasureAsync(report, client, options.Cancel);
        }
    }

    private static async Task MeasureAsync(BenchReport report, PeerProcess client, CancellationToken cancel)
    {
        const double Wire = RailPeers.ObjectBytes * 8 / BitsPerSecond * 1000;
        string name = $"rails.get.{RailPeers.ObjectBytes >> 20}MiB";
        Pairs pairs = await Alternating.RunAsync(() => GetAsync(client, "all", cancel),
            () => GetAsync(client, "one", cancel));
        report.Add(new BenchRow($"{name}.one", pairs.Limit, "ms", Wire, pairs.Limit / Wire));
        report.Add(BenchRow.Of($"{name}.two.to_one", "ms", pairs));
    }

    /// <summary>Milliseconds of one get.</summary>
    private static async Task<double> GetAsync(PeerProcess client, string rails, CancellationToken cancel)
    {
        string answer = await client.AskAsync($"{rails} {RailPeers.Key}", cancel);
        if (double.TryParse(answer.Split(' ')[0], CultureInfo.InvariantCulture, out double milliseconds))
            return milliseconds;
        throw new MeshException(new MeshError(MeshErrorCode.System, "bench", $"the get failed: {answer}"));
    }
}
