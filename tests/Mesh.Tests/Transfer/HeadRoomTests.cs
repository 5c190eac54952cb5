// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Transfer.Engine;
using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Tests.Transfer;

/// <summary>What stands before memory on a socket is whole lines, and says nothing of what lay there before.</summary>
public sealed class HeadRoomTests
{
    private const byte Dirt = 0xa5;

    [Fact]
    public void Heads_of_the_data_lane_are_whole_lines()
    {
        byte[] head = Dirty(DataRequest.Bytes);
        var request = new DataRequest(DataOperation.Read, 1, 2, 3, 4, 5, 6);
        request.Write(head);
        Assert.Equal(request, DataRequest.Read(head));
        AssertFilledUp(head, 48);

        head = Dirty(DataAnswer.Bytes);
        var answer = new DataAnswer(DataStatus.Done, 7, 8);
        answer.Write(head);
        Assert.Equal(answer, DataAnswer.Read(head));
        AssertFilledUp(head, 24);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(40)]
    [InlineData(41)]
    [InlineData(EngineRequest.MostEntries)]
    public void Heads_of_the_engine_are_whole_lines(int count)
    {
        byte[] head = Dirty(EngineRequest.LengthOf(count));
        var request = new EngineRequest(EngineOperation.Write, count, 1, count * 16);
        request.Write(head);
        for (int i = 0; i < count; i++)
            EngineRequest.WriteEntry(head, i, (ulong)i + 1, 16);
        Assert.Equal(count > 0, EngineRequest.TryRead(head, out var read));
        Assert.Equal(request, read);
        for (int i = 0; i < count; i++)
            Assert.Equal(((ulong)i + 1, 16UL), EngineRequest.ReadEntry(head, i));
        AssertFilledUp(head, EngineRequest.HeadBytes + (count * EngineRequest.EntryBytes));

        head = Dirty(EngineAnswer.LengthOf(count));
        var answer = new EngineAnswer(EntryStatus.Done, count, 1, 2);
        answer.Write(head);
        Assert.Equal(answer, EngineAnswer.Read(head));
        AssertFilledUp(head, EngineAnswer.HeadBytes);
    }

    private static byte[] Dirty(int length)
    {
        byte[] bytes = new byte[length];
        bytes.AsSpan().Fill(Dirt);
        return bytes;
    }

    private static void AssertFilledUp(byte[] head, int used)
    {
        Assert.Equal(0, head.Length % HeadRoom.Line);
        Assert.DoesNotContain(Dirt, head[used..]);
    }
}
