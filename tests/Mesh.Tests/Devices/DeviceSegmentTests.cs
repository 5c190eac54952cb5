// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Tests.Support;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Tests.Devices;

/// <summary>Segments whose memory a device has.</summary>
public sealed class DeviceSegmentTests
{
    private const long Mebi = 1 << 20;

    [Fact]
    public void A_segment_takes_a_block_of_its_device_and_gives_it_back()
    {
        var devices = new DeviceDouble();
        using (var store = Create(devices, new SegmentOptions { Length = (3 * Mebi) + 1, Location = "cuda:1" }).Value)
        {
            Assert.Equal((3 * Mebi) + 4096, store.Usage.Capacity);
            Assert.Equal("cuda:1", store.Segments[0].Memory.Device!.Location);
            Assert.Null(store.Segments[0].Memory.Host);
            Assert.Equal(1, devices.Live);
        }

        Assert.Equal(0, devices.Live);
    }

    [Fact]
    public void What_is_free_less_a_reserve_is_taken_in_whole_units()
    {
        var devices = new DeviceDouble(capacity: 40 * Mebi);
        using var taken = devices.Allocate("cuda:0", 5 * Mebi).Value;
        using var store = Create(devices,
            new SegmentOptions { FreeLess = 10 * Mebi, Location = "cuda:0" }).Value;
        Assert.Equal(24 * Mebi, store.Usage.Capacity);
        Assert.Equal(24 * Mebi, store.Segments[0].Options.Length);
        Assert.Null(store.Segments[0].Options.FreeLess);
    }

    [Theory]
    [InlineData("cuda:7", 1, "segments[1]: 1048576 bytes of cuda:7: 'cuda:7' is no device",
        MeshErrorCode.InvalidArgument)]
    [InlineData("cuda:0", 41, "segments[1]: 42991616 bytes of cuda:0: 41943040 bytes are free",
        MeshErrorCode.NoSpace)]
    public void A_refusal_names_the_entry_and_the_reason_and_leaves_nothing_behind(string location, long mebi,
        string message, MeshErrorCode code)
    {
        var devices = new DeviceDouble(capacity: 40 * Mebi);
        var refused = Create(devices, new SegmentOptions { Length = Mebi, Location = "cuda:1" },
            new SegmentOptions { Length = mebi * Mebi, Location = location });
        Assert.Equal(code, refused.Error?.Code);
        Assert.Equal("config:segments", refused.Error!.Stage);
        Assert.Contains(message, refused.Error.Message, StringComparison.Ordinal);
        Assert.Equal(0, devices.Live);
    }

    [Fact]
    public void A_reserve_larger_than_what_is_free_leaves_no_segment()
    {
        var refused = Create(new DeviceDouble(capacity: 40 * Mebi),
            new SegmentOptions { FreeLess = 39 * Mebi, Location = "cuda:0" });
        Assert.Equal(MeshErrorCode.NoSpace, refused.Error?.Code);
        Assert.Contains("41943040 of its 41943040 bytes are free", refused.Error!.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Without_devices_the_reason_is_that_of_the_host()
    {
        var options = new SegmentOptions { Length = Mebi, Location = "cuda:0" };
        var runtime = new MeshRuntime { Network = new SocketNetwork(), NoDevicesReason = "no libcuda.so.1" };
        var refused = ObjectStore.Create([options], runtime);
        Assert.Equal(MeshErrorCode.Device, refused.Error?.Code);
        Assert.Equal("segments[0].location is 'cuda:0'; no libcuda.so.1", refused.Error!.Message);
    }

    [Theory]
    [InlineData("cuda:0", 1L, null, true)]
    [InlineData("cuda:0", 0L, 5L, true)]
    [InlineData("cuda:0", 0L, 0L, true)]
    [InlineData("cuda:0", 0L, -1L, false)]
    [InlineData("cpu:0", 0L, 5L, false)]
    [InlineData("cuda:0", 0L, null, false)]
    [InlineData("cuda:", 1L, null, false)]
    [InlineData("cuda:x", 1L, null, false)]
    [InlineData("gpu:0", 1L, null, false)]
    public void Options_say_what_is_wrong(string location, long length, long? freeLess, bool right)
    {
        var options = new SegmentOptions { Length = length, Location = location, FreeLess = freeLess };
        Assert.Equal(right, !options.Validate(0).Any());
    }

    private static MeshResult<ObjectStore> Create(DeviceDouble devices, params SegmentOptions[] options) =>
        ObjectStore.Create(options, new MeshRuntime { Network = new SocketNetwork(), Devices = devices });
}
