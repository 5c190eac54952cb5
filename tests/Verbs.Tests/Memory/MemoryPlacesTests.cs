// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Rails;
using Mooncake.Mesh.Transfer.Topology;
using Mooncake.Mesh.Verbs.Memory;
using Mooncake.Mesh.Verbs.Tests.Devices;

namespace Mooncake.Mesh.Verbs.Tests.Memory;

public sealed class MemoryPlacesTests
{
    private const long Chunk = MemoryPlaces.ChunkBytes;
    private static readonly RailPort[] Ports = [new("mlx5_0", 1), new("mlx5_1", 1)];
    private static readonly RailPreferences TwoNodes =
        Of("""{"cpu:0":[["mlx5_0"],["mlx5_1"]],"cpu:1":[["mlx5_1"],["mlx5_0"]]}""");

    [Fact]
    public void Each_chunk_is_where_all_of_its_pages_are()
    {
        var range = new NativeRange(1 << 30, (3 * Chunk) + 4096);
        // The first chunk on node 0, the second on both, the third on node 1, the rest on a node without a row.
        var places = MemoryPlaces.Of(range, TwoNodes, address => (address - range.Address) switch
        {
            < (nint)Chunk => 0,
            < (nint)(Chunk * 3 / 2) => 0,
            < (nint)(Chunk * 3) => 1,
            _ => 2,
        });
        Assert.Equal(TwoNodes.NumberOf("cpu:0"), At(0));
        Assert.Equal(TwoNodes.NumberOf("cpu:0"), At(Chunk - 1));
        Assert.Equal(RailPreferences.Anywhere, At(Chunk));
        Assert.Equal(TwoNodes.NumberOf("cpu:1"), At(2 * Chunk));
        Assert.Equal(RailPreferences.Anywhere, At((3 * Chunk) + 4095));

        int At(long offset) => places.At(range.Address + (nint)offset);
    }

    [Fact]
    public void Nobody_is_asked_where_it_makes_no_difference()
    {
        var places = MemoryPlaces.Of(new NativeRange(1 << 30, Chunk), Of("""{"cpu:0":[["mlx5_0","mlx5_1"],[]]}"""),
            _ => throw new InvalidOperationException());
        Assert.Equal(RailPreferences.Anywhere, places.At((1 << 30) + 4096));
    }

    [Fact]
    public void The_kernel_says_where_memory_is_that_was_touched()
    {
        using var touched = new NativeBuffer(1 << 20);
        touched.Bytes.Fill(1);
        var rows = Of("""{"cpu:0":[["mlx5_0"],["mlx5_1"]]}""");
        var places = MemoryPlaces.Of(new NativeRange(touched.Address, 1 << 20), rows);
        bool single = !System.IO.Directory.Exists("/sys/devices/system/node/node1");
        Assert.SkipUnless(single, "memory of this host may lie on several nodes");
        Assert.Equal(rows.NumberOf("cpu:0"), places.At(touched.Address + 4096));
    }

    private static RailPreferences Of(string topology)
    {
        NicDevice[] nics = [.. Ports.Select(port => new NicDevice(port.Device, 0, PciPath.None))];
        return new RailPreferences(TopologyParser.Parse(topology, nics).Value, Ports);
    }
}
