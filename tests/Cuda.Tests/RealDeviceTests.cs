// SPDX-License-Identifier: Apache-2.0

using System.Globalization;
using Mooncake.Mesh.Devices;

namespace Mooncake.Mesh.Cuda.Tests;

/// <summary>
/// What only a GPU can show. Rates are compared with a plain copy in the same run, and given with the card's name.
/// </summary>
[Collection(nameof(RealDeviceTests))]
[CollectionDefinition(nameof(RealDeviceTests), DisableParallelization = true)]
public sealed class RealDeviceTests(ITestOutputHelper output)
{
    private const int Large = 256 << 20;
    private const int PageLength = 64 << 10;
    private const int Pages = 4_000;

    /// <summary>As a driver with batches, one without, and one that does not compile kernels either.</summary>
    public static TheoryData<string> Ways => ["", "cuMemcpyBatchAsync", "cuMemcpyBatchAsync cuLaunchKernel"];

    [Theory]
    [InlineData(1 << 10)]
    [InlineData((64 << 10) + 3)]
    [InlineData(1 << 20)]
    [InlineData((64 << 20) + 1)]
    [InlineData(1 << 30)]
    public void Bytes_come_back_as_they_were(int length)
    {
        using var device = new RealDevice();
        using var block = device.Memory.Block(length);
        Bytes.Is(DeviceEnd.Done, device.Memory.Write([block.All()], new PlacedBytes(5), default, Bytes.Long));
        var taken = new PlacedBytes(5);
        Bytes.Is(DeviceEnd.Done, device.Memory.Read([block.All()], taken, default, Bytes.Long));
        Assert.True(taken.IsSame);
    }

    [Theory]
    [MemberData(nameof(Ways))]
    public void Scattered_bytes_come_back_as_they_were(string without)
    {
        using var device = new RealDevice(Split(without));
        using var block = device.Memory.Block(64 << 20);
        var random = new Random(11);
        var ranges = new List<DeviceRange>();
        for (long at = 0; ranges.Count < Pages && at < block.Length - 100_000; at += random.Next(40))
        {
            int length = random.Next(4) == 0 ? random.Next(9) : random.Next(512) * 16;
            ranges.Add(new DeviceRange(block.Address + (nint)at, length));
            at += length;
        }

        Bytes.Is(DeviceEnd.Done, device.Memory.Write([.. ranges], new PlacedBytes(6), default, Bytes.Long));
        var taken = new PlacedBytes(6);
        Bytes.Is(DeviceEnd.Done, device.Memory.Read([.. ranges], taken, default, Bytes.Long));
        Assert.True(taken.IsSame);
    }

    [Fact]
    public void The_driver_compiles_the_kernel()
    {
        using var device = new RealDevice();
        Assert.True(device.HasKernel, device.Name);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Staged_copies_are_as_fast_as_a_plain_one(bool isRead)
    {
        using var device = new RealDevice();
        using var block = device.Memory.Block(Large);
        double plain = device.PlainRate(block, Large, isRead);
        var nothing = new Nothing();
        double staged = RealDevice.BestRate(Large, () => Bytes.Is(DeviceEnd.Done, isRead
            ? device.Memory.Read([block.All()], nothing, default, Bytes.Long)
            : device.Memory.Write([block.All()], nothing, default, Bytes.Long)));
        Compare(device, isRead ? "device to host" : "host to device", staged, plain, 0.95);
    }

    [Theory]
    [MemberData(nameof(Ways))]
    public void Scattered_pages_are_nearly_as_fast_as_a_plain_copy(string without)
    {
        using var device = new RealDevice(Split(without));
        using var block = device.Memory.Block(2L * Pages * PageLength);
        int[] order = [.. Enumerable.Range(0, Pages)];
        new Random(5).Shuffle(order);
        DeviceRange[] pages =
            [.. order.Select(i => new DeviceRange(block.Address + ((nint)i * 2 * PageLength), PageLength))];
        var nothing = new Nothing();
        foreach (bool isRead in new[] { true, false })
        {
            double plain = device.PlainRate(block, Pages * PageLength, isRead);
            double scattered = RealDevice.BestRate((long)Pages * PageLength, () => Bytes.Is(DeviceEnd.Done, isRead
                ? device.Memory.Read(pages, nothing, default, Bytes.Long)
                : device.Memory.Write(pages, nothing, default, Bytes.Long)));
            // One by one is what is left where there is nothing better: it is shown, and not asked for.
            double least = without.Contains("cuLaunchKernel", StringComparison.Ordinal) ? 0 : 0.8;
            Compare(device, $"{Pages} pages, {(isRead ? "read" : "written")}, without '{without}'", scattered, plain,
                least);
        }
    }

    [Fact]
    public void Memory_is_copied_within_the_device()
    {
        using var device = new RealDevice();
        using var from = device.Memory.Block(Large);
        using var to = device.Memory.Block(Large);
        Bytes.Is(DeviceEnd.Done, device.Memory.Write([from.All()], new PlacedBytes(8), default, Bytes.Long));
        double plain = device.PlainRate(from, to, Large);
        double ours = RealDevice.BestRate(Large,
            () => Bytes.Is(DeviceEnd.Done, device.Memory.Copy(from.All(), to.Address, default, Bytes.Long)));
        Compare(device, "within the device", ours, plain, 0.9);
        var taken = new PlacedBytes(8);
        Bytes.Is(DeviceEnd.Done, device.Memory.Read([to.All()], taken, default, Bytes.Long));
        Assert.True(taken.IsSame);
    }

    [Fact]
    public void A_block_of_another_process_is_copied_and_its_end_leaves_nothing()
    {
        using var device = new RealDevice();
        using var to = device.Memory.Block(Large);
        using var own = device.Memory.Block(Large);
        long free = device.Memory.UsageOf("cuda:0").Value.Free;
        byte[] handle;
        using (var owner = Child.Start("", "owner", $"{Large}"))
        {
            handle = Convert.FromHexString(owner.Line());
            using var mapped = device.Memory.OpenShared("cuda:0", handle, Large).Value;
            double plain = device.PlainRate(own, to, Large);
            double ours = RealDevice.BestRate(Large,
                () => Bytes.Is(DeviceEnd.Done, device.Memory.Copy(mapped.All(), to.Address, default, Bytes.Long)));
            Compare(device, "from another process", ours, plain, 0.9);
            var sink = new TakenBytes(Large);
            Bytes.Is(DeviceEnd.Done, device.Memory.Read([to.All()], sink, default, Bytes.Long));
            Assert.True(sink.Bytes.AsSpan().SequenceEqual(Bytes.Mixed(Large)));
            owner.Kill();
        }

        Assert.Equal(MeshErrorCode.Device, device.Memory.OpenShared("cuda:0", handle, Large).Error?.Code);
        Assert.True(SpinWait.SpinUntil(
            () => device.Memory.UsageOf("cuda:0").Value.Free >= free - (8 << 20), Bytes.Long), "memory is lost");
    }

    private void Compare(RealDevice device, string what, double ours, double plain, double least)
    {
        string said = string.Create(CultureInfo.InvariantCulture,
            $"{device.Name}: {what}: {ours / 1e9:0.0} GB/s, plain {plain / 1e9:0.0}: {ours / plain:0.00}");
        output.WriteLine(said);
        Assert.True(ours >= least * plain, $"{said}; the least is {least}");
    }

    private static string[] Split(string without) => without.Split(' ', StringSplitOptions.RemoveEmptyEntries);

    private sealed class Nothing : IChunkSink, IChunkSource
    {
        public bool Take(ReadOnlySpan<byte> bytes, long offset) => true;

        public bool Fill(Span<byte> bytes, long offset) => true;
    }
}
