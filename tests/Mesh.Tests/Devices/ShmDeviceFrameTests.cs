// SPDX-License-Identifier: Apache-2.0

using System.Buffers.Binary;
using Mooncake.Mesh.Transfer.Shm;

namespace Mooncake.Mesh.Tests.Devices;

/// <summary>What the shm lane says of segments that devices have.</summary>
public sealed class ShmDeviceFrameTests
{
    private const int HandleLength = ShmFrame.HeaderBytes + ShmFrame.SegmentBytes;

    [Fact]
    public void A_segment_of_a_device_has_one_descriptor_and_its_handle()
    {
        byte[] answer = Answer();
        Assert.True(ShmFrame.TryReadHead(answer, ShmRequest.MapDevices, 0, 3, out var head));
        Assert.Equal(2, head.Count);
        var device = ShmFrame.ReadSegment(answer, ShmRequest.MapDevices, 0)!.Value;
        Assert.Equal((8192L, 16L, "cuda:3"), (device.MemoryBytes, device.TableBytes, device.Location));
        Assert.Equal([1, 2, 3], device.Handle!);
        var host = ShmFrame.ReadSegment(answer, ShmRequest.MapDevices, 1)!.Value;
        Assert.Equal((4096L, 8L, false), (host.MemoryBytes, host.TableBytes, host.IsOnDevice));
    }

    [Fact]
    public void An_answer_of_other_length_or_with_other_descriptors_is_none()
    {
        byte[] answer = Answer();
        foreach (int descriptors in (int[])[0, 2, 4])
            Assert.False(ShmFrame.TryReadHead(answer, ShmRequest.MapDevices, 0, descriptors, out _));
        Assert.False(ShmFrame.TryReadHead(answer.AsSpan(1), ShmRequest.MapDevices, 0, 3, out _));
        Assert.False(ShmFrame.TryReadHead(answer, ShmRequest.Map, 0, 4, out _));
        foreach (int length in (int[])[-1, ShmFrame.MostHandle + 1, int.MinValue, int.MaxValue])
        {
            foreach (int place in (int[])[HandleLength, HandleLength + 4])
            {
                byte[] wrong = [.. answer];
                BinaryPrimitives.WriteInt32LittleEndian(wrong.AsSpan(place), length);
                Assert.False(ShmFrame.TryReadHead(wrong, ShmRequest.MapDevices, 0, 3, out _));
            }
        }
    }

    private static byte[] Answer()
    {
        byte[] answer = new byte[ShmFrame.HeaderBytes + (2 * ShmFrame.DeviceSegmentBytes)];
        ShmFrame.WriteHead(answer, new ShmHead(2, 0, 2, 7, false));
        ShmFrame.WriteSegment(answer, ShmRequest.MapDevices, 0, new ShmEntry(8192, 16, "cuda:3", [1, 2, 3]));
        ShmFrame.WriteSegment(answer, ShmRequest.MapDevices, 1, new ShmEntry(4096, 8));
        return answer;
    }
}
