// SPDX-License-Identifier: Apache-2.0

using Microsoft.Win32.SafeHandles;
using Mooncake.Mesh.Devices;
using Mooncake.Mesh.TestSupport;

namespace Mooncake.Mesh.Cuda.Tests;

/// <summary>Devices, blocks of their memory, and what is refused.</summary>
public sealed class DeviceMemoryTests
{
    private const long MiB = 1 << 20;

    [Fact]
    public void Devices_are_listed_without_being_used()
    {
        using var cuda = new CudaDouble();
        using var memory = cuda.Open();
        Assert.Equal(
            [
                new DeviceInfo("cuda:0", "Double 0", "0000:3b:00.0"),
                new DeviceInfo("cuda:1", "Double 1", "0000:3c:00.0"),
            ],
            memory.Devices);
        Assert.EndsWith(", CUDA 12.8", memory.Driver);
        Assert.Equal("", cuda.Left);
    }

    [Fact]
    public void A_block_is_taken_zeroed_and_given_back()
    {
        using var cuda = new CudaDouble();
        using (var memory = cuda.Open())
        {
            var before = memory.UsageOf("cuda:1").Value;
            Assert.Equal(new DeviceUsage(256 * MiB, 256 * MiB), before);
            var block = memory.Block((3 * MiB) + 1, "cuda:1");
            Assert.Equal(("cuda:1", (3 * MiB) + 1), (block.Location, block.Length));
            // Others map multiples of 2 MiB: so these are what is taken, and all of it is 0.
            Assert.Equal(before with { Free = 252 * MiB }, memory.UsageOf("cuda:1").Value);
            Assert.Equal(-1, cuda.Peek(block.Address, (int)(4 * MiB)).AsSpan().IndexOfAnyExcept((byte)0));
            block.Dispose();
            block.Dispose();
            Assert.Equal(before, memory.UsageOf("cuda:1").Value);
            Assert.Equal(0, cuda.Alive('b'));
        }

        Assert.Equal("", cuda.Left);
    }

    [Fact]
    public void What_a_device_has_not_is_no_space()
    {
        using var cuda = new CudaDouble("MEMORY_MIB=8");
        using var memory = cuda.Open();
        using var block = memory.Block(4 * MiB);
        var error = memory.Allocate("cuda:0", 5 * MiB).Error!;
        Assert.Equal(new MeshError(MeshErrorCode.NoSpace, "device:allocate",
            "cuda:0: cuMemAlloc_v2: CUDA_ERROR_OUT_OF_MEMORY (2): 5242880 bytes are wanted, 4194304 are free"), error);
        memory.Block(4 * MiB).Dispose();
        using var rest = memory.Block(4 * MiB);
        Assert.Equal(new CudaCapabilities(null, true, true), memory.CapabilitiesOf("cuda:0").Value);
        memory.Block(8 * MiB, "cuda:1").Dispose();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Where_memory_lies_is_known(bool inContextsOnly)
    {
        using var cuda = new CudaDouble();
        cuda.Ways(strictPointers: inContextsOnly);
        using var memory = cuda.Open();
        cuda.Ways();
        using var first = memory.Block(MiB);
        using var second = memory.Block(MiB, "cuda:1");
        cuda.Ways(strictPointers: inContextsOnly);
        Assert.Equal("cuda:0", memory.LocationOf(first.All()));
        Assert.Equal("cuda:1", memory.LocationOf(new DeviceRange(second.Address + 1000, 1)));
        Assert.Null(memory.LocationOf(new DeviceRange(0x1000, 1)));
        Assert.Null(memory.LocationOf(new DeviceRange(cuda.Managed(4096), 1)));
        Assert.Equal(0, cuda.Alive('d'));
    }

    [Fact]
    public void To_ask_where_memory_lies_allocates_nothing()
    {
        using var cuda = new CudaDouble();
        using var memory = cuda.Open();
        using var block = memory.Block(MiB);
        Assert.Equal(0, Allocations.Of(() =>
        {
            for (int i = 0; i < 100; i++)
                _ = memory.LocationOf(block.All());
        }));
    }

    [Theory]
    [InlineData("cpu:0")]
    [InlineData("cuda:2")]
    [InlineData("cuda:00")]
    [InlineData("")]
    public void A_location_that_is_none_is_named(string location)
    {
        using var cuda = new CudaDouble();
        using var memory = cuda.Open();
        string said = $"location '{location}' is none of this host's: there are cuda:0 to cuda:1";
        foreach (var error in new[]
        {
            memory.UsageOf(location).Error, memory.Allocate(location, 1).Error,
            memory.OpenShared(location, new byte[64], 1).Error, memory.CapabilitiesOf(location).Error,
        })
        {
            Assert.Equal((MeshErrorCode.InvalidArgument, said), (error!.Code, error.Message));
        }
    }

    [Fact]
    public void Arguments_are_refused_with_field_value_and_limit()
    {
        using var cuda = new CudaDouble();
        using var memory = cuda.Open();
        using var block = memory.Block(2 * MiB);
        using var other = memory.Block(2 * MiB, "cuda:1");
        nint at = block.Address;
        Refused("length 0 is not from 1 to 9223372036852678655", memory.Allocate("cuda:0", 0).Error);
        Refused("length -1 is not from 1 to 9223372036854775807", memory.OpenShared("cuda:0", new byte[64], -1).Error);
        Refused("handle has 63 bytes; it must have 64", memory.OpenShared("cuda:0", new byte[63], 1).Error);
        Refused("from[1] has length -4; the least is 0", Read(memory, new DeviceRange(at, 1), new DeviceRange(at, -4)));
        Refused("from[1]: the ranges have more than 9223372036854775807 bytes together",
            Read(memory, new DeviceRange(at, 1), new DeviceRange(at, long.MaxValue)));
        Refused("from[0] of 2 bytes at 0xffffffffffffffff goes beyond the last address",
            Read(memory, new DeviceRange(-1, 2)));
        Refused("from[0] of 9 bytes at 0x10: there is no memory of a device at 0x10",
            Read(memory, new DeviceRange(16, 9)));
        Refused($"from[0] of 2097153 bytes at 0x{at:x}: there is no memory of a device at 0x{at + (2 * MiB):x}",
            Read(memory, new DeviceRange(at, (2 * MiB) + 1)));
        Refused($"from[1] of 7 bytes at 0x{other.Address:x} lies on cuda:1, what is before it on cuda:0; all ranges "
            + "must be of one device", Read(memory, new DeviceRange(at, 7), new DeviceRange(other.Address, 7)));
        Refused("timeout -00:00:00.0000001 is less than 0", memory.Read([block.All()], new TakenBytes(0), default,
            TimeSpan.FromTicks(-1)).Error);
        Refused("from and to overlap: 10 bytes, 9 apart",
            memory.Copy(new DeviceRange(at, 10), at + 9, default, Bytes.Long).Error);
        Refused($"to[0] of 10 bytes at 0x20: there is no memory of a device at 0x20",
            memory.Copy(new DeviceRange(at, 10), 32, default, Bytes.Long).Error);
        Assert.Equal($"4096 bytes at 0x{at + 1:x} are not whole pages of 4096 bytes",
            memory.ExportDmaBuf(new DeviceRange(at + 1, 4096)).Error?.Message);
        Assert.Equal($"4095 bytes at 0x{at:x} are not whole pages of 4096 bytes",
            memory.ExportDmaBuf(new DeviceRange(at, 4095)).Error?.Message);
        Refused("range has 0 bytes; a dma-buf has whole pages", memory.ExportDmaBuf(new DeviceRange(at, 0)).Error);
        Refused("range[0] of 4096 bytes at 0x1000: there is no memory of a device at 0x1000",
            memory.ExportDmaBuf(new DeviceRange(4096, 4096)).Error);
        Assert.Throws<ArgumentNullException>(() => memory.Read([], null!, default, Bytes.Long));
    }

    [Fact]
    public void A_part_of_a_block_is_exported_as_dma_buf()
    {
        using var cuda = new CudaDouble();
        using var memory = cuda.Open();
        using var block = memory.Block(2 * MiB);
        var exported = memory.ExportDmaBuf(new DeviceRange(block.Address + 4096, 8192));
        Assert.True(exported.Succeeded, exported.Error?.Message);
        using var descriptor = new SafeFileHandle(exported.Value, ownsHandle: true);
        Assert.InRange(exported.Value, 0, int.MaxValue);
        Assert.Equal(new CudaCapabilities(true, true, true), memory.CapabilitiesOf("cuda:0").Value);
    }

    [Fact]
    public void What_cards_have_written_is_flushed_unless_everybody_sees_it_anyhow()
    {
        const string Call = "cuFlushGPUDirectRDMAWrites";
        using var cuda = new CudaDouble();
        using var memory = cuda.Open();
        Assert.Null(memory.FlushWrites("cuda:1"));
        Assert.Equal(1, cuda.Calls(Call));
        cuda.Flushes(can: true, ordering: 100);
        Assert.Null(memory.FlushWrites("cuda:1"));
        Assert.Equal(2, cuda.Calls(Call));
        cuda.Flushes(can: false, ordering: 200);
        Assert.Null(memory.FlushWrites("cuda:1"));
        cuda.Flushes(can: false, ordering: 100);
        Assert.Equal("cuda:1 cannot flush what network cards write: a driver for CUDA 11.3 or newer can",
            memory.FlushWrites("cuda:1")?.Message);
        Assert.Equal(2, cuda.Calls(Call));
        Assert.Equal(MeshErrorCode.InvalidArgument, memory.FlushWrites("cuda:9")?.Code);
    }

    [Fact]
    public void A_driver_that_flushes_nothing_says_so()
    {
        using var cuda = new CudaDouble("NO_FLUSH");
        using var memory = cuda.Open();
        Assert.Equal(MeshErrorCode.Device, memory.FlushWrites("cuda:0")?.Code);
    }

    [Fact]
    public void A_device_without_dma_buf_says_so()
    {
        using var cuda = new CudaDouble();
        cuda.Ways(hasDmaBuf: false);
        using var memory = cuda.Open();
        using var block = memory.Block(MiB);
        Assert.Equal(new MeshError(MeshErrorCode.Device, "device:dma-buf", "cuda:0 exports no dma-buf: the open kernel "
            + "module of the driver does"), memory.ExportDmaBuf(new DeviceRange(block.Address, 4096)).Error);
        Assert.False(memory.CapabilitiesOf("cuda:0").Value.HasDmaBuf);
    }

    [Fact]
    public void A_driver_without_dma_buf_and_batches_says_so()
    {
        using var cuda = new CudaDouble("NO_DMABUF NO_BATCH");
        using var memory = cuda.Open();
        using var block = memory.Block(MiB);
        Assert.Equal("the driver exports no dma-buf: one for CUDA 11.7 or newer is needed",
            memory.ExportDmaBuf(new DeviceRange(block.Address, 4096)).Error?.Message);
        Assert.Equal(new CudaCapabilities(true, false, false), memory.CapabilitiesOf("cuda:0").Value);
    }

    [Theory]
    [InlineData("cuMemcpyHtoDAsync_v2")]
    [InlineData("cuPointerGetAttributes")]
    [InlineData("cuStreamQuery")]
    public void Every_needed_symbol_is_looked_for(string symbol)
    {
        string path = CudaDouble.Build($"{symbol}=not_there_{symbol}");
        Assert.StartsWith($"missing symbol {symbol} in ", LibCuda.Probe(path));
        File.Delete(path);
    }

    [Fact]
    public void The_memory_of_this_host_opens_where_CUDA_is_supported()
    {
        MeshResult<CudaMemory> opened = CudaMemory.TryOpen();
        Assert.Equal(LibCuda.NotSupportedReason, opened.Error?.Message);
        if (opened.Succeeded)
            opened.Value.Dispose();
    }

    [Theory]
    [InlineData("")]
    [InlineData("NO_BATCH")]
    public void What_is_under_way_goes_on_when_the_memory_is_closed(string definitions)
    {
        using var cuda = new CudaDouble(definitions);
        var memory = cuda.Open();
        using (var block = memory.Block(8 * MiB))
        {
            byte[] bytes = Bytes.Mixed((int)(4 * MiB));
            DeviceRange[] pages =
                [.. Enumerable.Range(0, 64).Select(i => new DeviceRange(block.Address + (i << 17), 1 << 16))];
            var source = new GivenBytes(bytes, onFill: offset =>
            {
                if (offset > 0)
                    memory.Dispose();
            });
            Bytes.Is(DeviceEnd.Done, memory.Write(pages, source, default, Bytes.Long));
            Assert.Equal(bytes[..(1 << 16)], cuda.Peek(block.Address, 1 << 16));
            Assert.Equal(MeshErrorCode.Closed, memory.Write(pages, source, default, Bytes.Long).Error!.Code);
        }

        Assert.Equal("", cuda.Left);
    }

    [Fact]
    public void A_block_that_outlives_the_memory_keeps_its_device()
    {
        using var cuda = new CudaDouble();
        var memory = cuda.Open();
        var block = memory.Block(MiB);
        memory.Dispose();
        Assert.Equal("c1 b1", cuda.Left);
        Assert.Equal(MeshErrorCode.Closed, memory.UsageOf("cuda:0").Error!.Code);
        Assert.Equal(MeshErrorCode.Closed, memory.Allocate("cuda:0", 1).Error!.Code);
        Assert.Equal(MeshErrorCode.Closed, Read(memory, block.All())!.Code);
        Assert.Equal(MeshErrorCode.Closed, block.Share().Error!.Code);
        block.Dispose();
        memory.Dispose();
        Assert.Equal("", cuda.Left);
    }

    [Fact]
    public void Blocks_that_are_dropped_are_given_back()
    {
        using var cuda = new CudaDouble();
        using (var memory = cuda.Open())
        {
            Drop(memory);
            for (int i = 0; i < 20 && cuda.Alive('b') > 0; i++)
            {
                GC.Collect();
                GC.WaitForPendingFinalizers();
            }

            Assert.Equal(0, cuda.Alive('b'));
        }

        Assert.Equal("", cuda.Left);
    }

    [Fact]
    public async Task Many_threads_use_a_device_at_once()
    {
        using var cuda = new CudaDouble();
        using (var memory = cuda.Open())
        {
            await Task.WhenAll(Enumerable.Range(0, 12).Select(thread => Task.Run(() =>
            {
                for (int i = 0; i < 3; i++)
                {
                    byte[] bytes = Bytes.Mixed(1_500_000, thread);
                    using var block = memory.Block(bytes.Length, $"cuda:{thread % 2}");
                    Bytes.Is(DeviceEnd.Done, memory.Write([block.All()], new GivenBytes(bytes), default, Bytes.Long));
                    var sink = new TakenBytes(bytes.Length);
                    Bytes.Is(DeviceEnd.Done, memory.Read([block.All()], sink, default, Bytes.Long));
                    Assert.True(bytes.AsSpan().SequenceEqual(sink.Bytes));
                }
            }, TestContext.Current.CancellationToken)));
        }

        Assert.Equal("", cuda.Left);
    }

    private static void Drop(CudaMemory memory) => memory.Block(MiB);

    private static MeshError? Read(CudaMemory memory, params DeviceRange[] ranges) =>
        memory.Read(ranges, new TakenBytes(0), default, Bytes.Long).Error;

    private static void Refused(string message, MeshError? error) =>
        Assert.Equal((MeshErrorCode.InvalidArgument, message), (error!.Code, error.Message));
}
