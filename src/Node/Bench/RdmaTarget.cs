// SPDX-License-Identifier: Apache-2.0

using System.Globalization;
using System.Runtime.InteropServices;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Tcp;
using Mooncake.Mesh.Verbs;
using Mooncake.Mesh.Verbs.Devices;
using Mooncake.Mesh.Verbs.Transfers;

namespace Mooncake.Mesh.Node.Bench;

/// <summary>
/// The other side of "bench transfer --transport rdma": memory that cards read and write, and queue pairs to it, one
/// for each line on standard input.
/// </summary>
internal static class RdmaTarget
{
    internal const string Role = "rdma-target";

    /// <summary>Serves until its input ends.</summary>
    internal static async Task ServeAsync(string devices, string bytes, TextReader input, Action<string> say)
    {
        RdmaEngine engine = Open(devices, new RdmaOptions()).Value;
        using var memory = new BenchMemory(long.Parse(bytes, CultureInfo.InvariantCulture));
        var registered = (await engine.RegisterAsync(memory.Range,
            MemoryAccess.LocalWrite | MemoryAccess.RemoteRead | MemoryAccess.RemoteWrite)).Value;
        RdmaPeer peer = engine.AddPeer(null);
        RemoteRegion region = registered.Region;
        say(string.Create(CultureInfo.InvariantCulture,
            $"{region.Address} {region.Length} {region.PartBytes} {engine.Rails.Count}"));
        while (await input.ReadLineAsync() is { } line)
        {
            string[] words = line.Split(' ');
            int from = int.Parse(words[0], CultureInfo.InvariantCulture);
            int to = int.Parse(words[1], CultureInfo.InvariantCulture);
            if (engine.TryCreate(peer, to, from) is not var (endpoint, own))
            {
                say("none");
                continue;
            }

            engine.Connect(endpoint, own, EndOf(words.AsSpan(2)));
            peer.Install(endpoint);
            uint[] keys = new uint[registered.Parts];
            registered.CopyKeys(to, keys);
            say($"{TextOf(own)} {string.Join(' ', keys)}");
        }

        await engine.DisposeAsync();
    }

    /// <summary>Opens the devices of a list of names; empty: all.</summary>
    internal static MeshResult<RdmaEngine> Open(string devices, RdmaOptions options) => RdmaEngine.Open(
        options with { Devices = devices.Split(',', StringSplitOptions.RemoveEmptyEntries) },
        new MeshRuntime { Network = new SocketNetwork() });

    /// <summary>An end of a queue pair as six words.</summary>
    internal static string TextOf(PairEnd end) => string.Create(CultureInfo.InvariantCulture,
        $"{end.Number} {end.Sequence} {end.Lid} {Convert.ToHexString(end.Gid)} {end.Mtu} {end.Reads}");

    /// <summary>An end of a queue pair from six words.</summary>
    internal static PairEnd EndOf(ReadOnlySpan<string> words) => new(
        uint.Parse(words[0], CultureInfo.InvariantCulture), uint.Parse(words[1], CultureInfo.InvariantCulture),
        int.Parse(words[2], CultureInfo.InvariantCulture), Convert.FromHexString(words[3]),
        int.Parse(words[4], CultureInfo.InvariantCulture), int.Parse(words[5], CultureInfo.InvariantCulture));
}
