// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Devices;

namespace Mooncake.Mesh.Cuda.Tests;

/// <summary>Two processes have a block of a device in common, and each may end at any moment.</summary>
public sealed class SharedBlockTests
{
    private const int Length = 3_000_001;

    [Fact]
    public void A_block_of_another_process_is_read()
    {
        using var cuda = new CudaDouble();
        using (var memory = cuda.Open())
        using (var owner = Child.Start(cuda.LibraryPath, "owner", $"{Length}"))
        {
            byte[] handle = Convert.FromHexString(owner.Line());
            var mapped = memory.OpenShared("cuda:0", handle, Length);
            Assert.True(mapped.Succeeded, mapped.Error?.Message);
            var again = memory.OpenShared("cuda:0", handle, Length);
            Assert.Equal(("cuda:0", Length, mapped.Value.Address),
                (again.Value.Location, again.Value.Length, again.Value.Address));
            again.Value.Dispose();
            Read(memory, mapped.Value, seed: 1);
            owner.Go();
            Assert.Equal(128, owner.Line().Length);
            Read(memory, mapped.Value, seed: 2);

            // Within the device, too: that is how a get by IPC goes.
            using var copy = memory.Block(Length);
            Bytes.Is(DeviceEnd.Done, memory.Copy(mapped.Value.All(), copy.Address, default, Bytes.Long));
            Assert.Equal(Bytes.Mixed(Length, 2), cuda.Peek(copy.Address, Length));
            Assert.Equal("a block that is mapped from another process is shared by that process alone",
                mapped.Value.Share().Error?.Message);
            mapped.Value.Dispose();
            Assert.Equal(0, cuda.Alive('i'));
        }

        Assert.Equal("", cuda.Left);
    }

    [Fact]
    public void The_end_of_the_owner_is_an_error()
    {
        using var cuda = new CudaDouble();
        using (var memory = cuda.Open())
        {
            using var owner = Child.Start(cuda.LibraryPath, "owner", $"{Length}");
            byte[] handle = Convert.FromHexString(owner.Line());
            using var mapped = memory.OpenShared("cuda:0", handle, Length).Value;
            owner.Kill();
            var read = memory.Read([mapped.All()], new TakenBytes(Length), default, Bytes.Long);
            Bytes.Is(DeviceEnd.Failed, read);
            Assert.Equal("cuda:0: cuMemcpyDtoHAsync_v2: CUDA_ERROR_INVALID_VALUE (1)", read.Error!.Message);
            mapped.Dispose();
            var late = memory.OpenShared("cuda:0", handle, Length);
            Assert.Equal(new MeshError(MeshErrorCode.Device, "device:map",
                "cuda:0: cuIpcOpenMemHandle_v2: CUDA_ERROR_INVALID_HANDLE (400)"), late.Error);
            memory.Block(1).Dispose();
        }

        Assert.Equal("", cuda.Left);
    }

    [Fact]
    public void The_end_of_who_maps_it_is_none_of_the_owners_business()
    {
        using var cuda = new CudaDouble();
        using (var memory = cuda.Open())
        using (var block = memory.Block(Length))
        {
            Bytes.Is(DeviceEnd.Done,
                memory.Write([block.All()], new GivenBytes(Bytes.Mixed(Length)), default, Bytes.Long));
            string handle = Convert.ToHexString(block.Share().Value);
            using (var mapper = Child.Start(cuda.LibraryPath, "mapper", handle, $"{Length}"))
                Assert.Equal("same", mapper.Line());
            Read(memory, block, seed: 1);
        }

        Assert.Equal("", cuda.Left);
    }

    [Fact]
    public void A_handle_that_does_not_fit_is_refused_and_unmapped()
    {
        using var cuda = new CudaDouble();
        using (var memory = cuda.Open())
        using (var owner = Child.Start(cuda.LibraryPath, "owner", $"{Length}"))
        {
            byte[] handle = Convert.FromHexString(owner.Line());
            Assert.Equal("length 4194305: the block has 4194304 bytes",
                memory.OpenShared("cuda:0", handle, (4 << 20) + 1).Error?.Message);
            Assert.Equal("the block lies on cuda:0 here, not on cuda:1",
                memory.OpenShared("cuda:1", handle, Length).Error?.Message);
            Assert.Equal("cuda:0: cuIpcOpenMemHandle_v2: CUDA_ERROR_INVALID_VALUE (1)",
                memory.OpenShared("cuda:0", new byte[64], Length).Error?.Message);
            Assert.Equal(0, cuda.Alive('i'));
        }

        Assert.Equal("", cuda.Left);
    }

    [Fact]
    public void Ones_own_block_is_not_mapped()
    {
        using var cuda = new CudaDouble();
        using var memory = cuda.Open();
        using var block = memory.Block(Length);
        Assert.Equal("cuda:0: cuIpcOpenMemHandle_v2: CUDA_ERROR_INVALID_CONTEXT (201)",
            memory.OpenShared("cuda:0", block.Share().Value, Length).Error?.Message);
    }

    private static void Read(CudaMemory memory, IDeviceBlock block, int seed)
    {
        var sink = new TakenBytes(Length);
        Bytes.Is(DeviceEnd.Done, memory.Read([block.All()], sink, default, Bytes.Long));
        Assert.True(sink.Bytes.AsSpan().SequenceEqual(Bytes.Mixed(Length, seed)));
    }
}
