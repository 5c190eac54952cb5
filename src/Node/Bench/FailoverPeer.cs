// SPDX-License-Identifier: Apache-2.0

using System.Globalization;
using Mooncake.Mesh.Client;

namespace Mooncake.Mesh.Node.Bench;

/// <summary>
/// The side of "bench failover" that a machine vanishes from: etcd, two nodes and the callers, in a network namespace.
/// The third node is started by others.
/// </summary>
internal static class FailoverPeer
{
    internal const string Role = "failover";

    /// <summary>
    /// Says "CLUSTER ETCD", then obeys lines and says "ok" to each: "settle NODES", "put ROUND", "watch"; to "end" it
    /// says "GAP FAILED" for each key. Ends with its input.
    /// </summary>
    internal static async Task ServeAsync(string address, TextReader input, Action<string> say)
    {
        BenchMesh mesh = await BenchMesh.StartOnAsync(address);
        try
        {
            for (int i = 0; i < FailoverMesh.Victim; i++)
                await mesh.AddNodeAsync(i, FailoverMesh.SegmentBytes, FlagsOn(address));
            say($"{mesh.Cluster} {mesh.Etcd}");
            // The victim is to be as near as the others: otherwise nobody would read from it.
            await using var failover = new FailoverMesh(mesh, await mesh.ConnectAsync(overTcp: true));
            while (await input.ReadLineAsync() is { } line)
                say(await ObeyAsync(failover, line.Split(' ')));
        }
        finally
        {
            await mesh.DisposeAsync();
        }
    }

    /// <summary>Flags of a node that listens on an address of a namespace.</summary>
    internal static string[] FlagsOn(string address) =>
        ["--listen", $"{address}:0", "--insecure", "true", .. FailoverMesh.Flags];

    /// <summary>What an answer to "end" says.</summary>
    internal static WatchedKey[] Parse(string answer) =>
    [
        .. answer.Split(' ').Chunk(2).Select(pair => new WatchedKey(
            double.Parse(pair[0], CultureInfo.InvariantCulture), int.Parse(pair[1], CultureInfo.InvariantCulture))),
    ];

    private static async Task<string> ObeyAsync(FailoverMesh mesh, string[] words)
    {
        try
        {
            switch (words[0])
            {
                case "settle":
                    await mesh.SettleAsync(int.Parse(words[1], CultureInfo.InvariantCulture), CancellationToken.None);
                    return "ok";
                case "put":
                    await mesh.PutAsync(int.Parse(words[1], CultureInfo.InvariantCulture), CancellationToken.None);
                    return "ok";
                case "watch":
                    await mesh.WatchAsync(CancellationToken.None);
                    return "ok";
                default:
                    return string.Join(' ', (await mesh.EndAsync()).Select(
                        key => string.Create(CultureInfo.InvariantCulture, $"{key.Gap:0.000} {key.Failed}")));
            }
        }
        catch (MeshException e)
        {
            return $"error {e.Message}";
        }
    }
}
