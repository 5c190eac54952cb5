// SPDX-License-Identifier: Apache-2.0

using System.Buffers;
using MessagePack;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Tests.Control;

/// <summary>
/// Every message comes back as it went; fields of a newer version are skipped, cut messages refused.
/// </summary>
public sealed class CodecTests
{
    private static readonly MeshKey Key = new([0, 1, 0xff, 65]);
    private static readonly ViewId View = new(3, long.MaxValue, ulong.MaxValue) { Mesh = 7 };

    /// <summary>The number of <see cref="View"/>, in another mesh.</summary>
    private static readonly ViewId Foreign = View with { Mesh = 8 };

    private static readonly ObjectRecord Record = new()
    {
        Version = new RecordVersion(1, 1L << 40, long.MaxValue),
        ObjectId = ulong.MaxValue,
        Size = long.MaxValue,
        Checksum = 7,
        Replicas = [new Replica(ulong.MaxValue, 3, 1L << 45, 9), new Replica(1, 0, 0, 2)],
    };

    [Fact]
    public void Owner_messages_come_back_as_they_went()
    {
        Back(Record);
        Back(new ObjectRecord { ObjectId = 1, Removed = true });
        Back(new LocateRequest([Key, new MeshKey("b")], true));
        Back(new LocateRequest([], false));
        Back(new LocateRequest([Key], true, Final: true));
        Back(new PublishRequest(Key, Record, 2, true));
        Back(new PublishRequest(Key, Record, 2, true, true, new RecordVersion(4, 5, 6)));
        Back(Record with { Cleared = 1L << 60 });
        Back(new MirrorRequest([new KeyedRecord(Key, Record)]));
        Back(new RetractRequest(5, [new RetractItem(Key, 6)], true));
        Back(new OweRequest("node-1", 77));
        Back(new Done(3));
        Back(new OwnerAnswers(View, [new OwnerAnswer(OwnerCode.Kept, Record), new OwnerAnswer(OwnerCode.Absent)]));
        Back(new SlotPullRequest(View, 5, new SlotSet([1, 2, 3]), 1ul << 60));
        Back(new SlotPage(true, 9, new SlotSet([4]), [new SlotSummary(1, 2, 3)],
            [new KeyedRecord(Key, Record)], 1ul << 60, 3));
        Back(new SlotStateRequest(View, new SlotSet([0xff])));
        Back(new SlotStateAnswer(View, new SlotSet([])));
    }

    [Fact]
    public void Holder_and_client_messages_come_back_as_they_went()
    {
        var head = new PutHead(Key, 8, 3, 2, true, 900, true, ObjectPin.Hard, "\u00e9");
        Back(new PutRequest(head, 9, new byte[] { 1, 2, 3 }));
        Back(new ReserveRequest(head));
        Back(new ReserveAnswer(ulong.MaxValue));
        Back(new SealRequest(1, ulong.MaxValue));
        Back(new PutAnswer(PutFate.Held, false, Record.Version, 3));
        Back(new RemoveRequest(Key, 5, new RecordVersion(1, 2, 3)));
        Back(new DropRequest([new RetractItem(Key, 1), new RetractItem(new MeshKey("x"), 2)]));
        Back(new ReadRequest(1, 1L << 45, 3, 4, 5));
        Back(new ReadAnswer(true, new byte[] { 9, 8 }));
        Back(new HolderListRequest(new SlotSet([5]), 8, 6, [7]));
        Back(new HolderPage([new KeyedRecord(Key, Record)], 8));
        Assert.True(new HolderPage([], 0).IsOf(View));
        Assert.True(new HolderPage([], 0, View).IsOf(View));
        Assert.True(new HolderPage([], 0, View with { Epoch = View.Epoch + 1, Digest = 1 }).IsOf(View));
        Assert.False(new HolderPage([], 0, View with { Digest = 1 }).IsOf(View));
        Assert.False(new HolderPage([], 0, View with { Epoch = View.Epoch - 1, Digest = 1 }).IsOf(View));
        Assert.False(new HolderPage([], 0, Foreign with { Epoch = View.Epoch + 1, Digest = 1 }).IsOf(View));
        Back(new AbandonRequest(4));
        Back(new PinRequest(Key, 7, ObjectPin.Soft));
        Back(new DropGroupRequest("g\u00e9"));
        Back(new ClearRequest(long.MaxValue));
        Back(new ClearAnswer(3));
        Back(new MatchRequest("^a.*", ulong.MaxValue));
        Back(new MatchPage([Key, new MeshKey("b")], 9));
        Back(new RemoveAllRequest("default", 5));
        Back(new RemoveAllAnswer(1L << 40, 2, 3));
    }

    /// <summary>No part of a view's name, so that equal messages may differ in it.</summary>
    [Fact]
    public void The_mesh_of_a_view_comes_with_it_where_numbers_are_compared()
    {
        Assert.Equal(View, Foreign);
        Assert.Equal(View.GetHashCode(), Foreign.GetHashCode());
        var answer = Again(new PingAnswer(View, 1, false, Foreign, View with { Mesh = 9 }, false));
        Assert.Equal((7ul, 8ul, 9ul), (answer.View.Mesh, answer.Without.Mesh, answer.RingSince.Mesh));
        Assert.Equal(8ul, Again(new PingRequest(Foreign)).View.Mesh);
        Assert.Equal(8ul, Again(new SlotPullRequest(Foreign, 0, new SlotSet([]))).View.Mesh);
        Assert.Equal(8ul, Again(new HolderPage([], 0, Foreign)).View.Mesh);
    }

    [Fact]
    public void Of_two_meshes_no_view_follows_on_the_other()
    {
        var newer = View with { Epoch = 4, Digest = 1 };
        Assert.True(newer.IsOrFollows(View));
        Assert.False((newer with { Mesh = 8 }).IsOrFollows(View));
        // Who does not say is taken for one of ours, as in the first wire version.
        Assert.True((newer with { Mesh = 0 }).IsOrFollows(View));
        Assert.True(newer.IsOrFollows(View with { Mesh = 0 }));
        Assert.False(View.MayBeReplacedBy(Foreign with { Revision = 9 }));
        Assert.True(View.MayBeReplacedBy(Foreign with { Epoch = 4, Revision = 1 }));
        Assert.True(View.MayBeReplacedBy(View with { Revision = 1 }));
        // A digest has the mesh in it.
        Assert.True(Foreign.IsOrFollows(View));
    }

    [Fact]
    public void Node_messages_come_back_as_they_went()
    {
        Back(new PingRequest(View));
        Back(new PingAnswer(View, 1L << 50, true, new ViewId(3, 4, 5), View, true));
        Back(new ViewPullRequest(4));
        Back(new ViewPage(View, [1], 2, [[2], [], [3, 4]],
            new RingPast(9, 3, [new RingChange(5, "n1", 100)])));
        Back(new StatusRequest());
        Back(new StatusAnswer([1, 2]));
        Back(new Failure(MeshErrorCode.Busy, "stage", "message \u00e9", 5));
        Back(new Hello
        {
            Cluster = "c",
            Lane = Lane.Owner,
            NodeId = "n",
            Incarnation = ulong.MaxValue,
            Session = long.MinValue,
            View = View,
            WantedNode = "w",
            BootId = "b",
            Authentication = [1, 2],
        });
        Back(new Proof([]));
        Back(new Proof([new byte[32], new byte[32]]));
    }

    [Fact]
    public void Lists_above_their_limits_are_refused()
    {
        var keys = new MeshKey[Wire.MaxBatch + 1];
        Array.Fill(keys, Key);
        Refused(new LocateRequest(keys, false));
        Refused(new LocateRequest([new MeshKey(new byte[MeshKey.MaxLength + 1])], false));
        Refused(Record with { Replicas = new Replica[Wire.MaxReplicas + 1] });
        Refused(Record with { Size = -1 });
        Refused(new Proof([new byte[32], new byte[32], new byte[32]]));
        Refused(new Proof([new byte[31]]));
        Refused(new OweRequest(new string('n', Wire.MaxText + 1), 1));
        Refused(new PutRequest(new PutHead(Key, 1, 4, 1, false, 1), 0, new byte[3]));
        Refused(new PutRequest(new PutHead(Key, 1, Wire.MaxInlinePut + 1, 1, false, 1), 0,
            new byte[Wire.MaxInlinePut + 1]));
        Refused(new SlotPullRequest(View, 0, new SlotSet(new byte[SlotSet.MaxBytes + 1])));
        Assert.Throws<WireException>(() => FrameBuffer.Of(MessageType.Answer, 1, new StatusAnswer(new byte[1 << 20])));
    }

    /// <summary>Writes, reads and writes again; then with an appended field, and cut at every byte.</summary>
    private static T Again<T>(T message)
        where T : IWireMessage<T> => Read<T>(BytesOf(message), out _);

    private static void Back<T>(T message)
        where T : IWireMessage<T>
    {
        byte[] bytes = BytesOf(message);
        Assert.Equal(bytes, BytesOf(Read<T>(bytes, out long used)));
        Assert.Equal(bytes.Length, used);
        byte[] longer = Appended(bytes);
        Assert.Equal(bytes, BytesOf(Read<T>(longer, out used)));
        Assert.Equal(longer.Length, used);
        for (int cut = 0; cut < bytes.Length; cut++)
        {
            var error = Xunit.Record.Exception(() => Read<T>(bytes[..cut], out _));
            Assert.True(IsRefusal(error), $"{typeof(T).Name} cut at {cut} of {bytes.Length}: {error}");
        }
    }

    private static void Refused<T>(T message)
        where T : IWireMessage<T> => Assert.Throws<WireException>(() => Read<T>(BytesOf(message), out _));

    private static bool IsRefusal(Exception? error) => error is WireException or MessagePackSerializationException
        or EndOfStreamException or OverflowException;

    private static T Read<T>(byte[] bytes, out long used)
        where T : IWireMessage<T>
    {
        var reader = new MessagePackReader(bytes);
        var message = T.Read(ref reader);
        used = reader.Consumed;
        return message;
    }

    private static byte[] BytesOf<T>(T message)
        where T : IWireMessage<T>
    {
        var buffer = new ArrayBufferWriter<byte>();
        var writer = new MessagePackWriter(buffer);
        message.Write(ref writer);
        writer.Flush();
        return buffer.WrittenSpan.ToArray();
    }

    /// <summary>The same array with fields that a newer version may have: a map, a list and a text.</summary>
    private static byte[] Appended(byte[] bytes)
    {
        var reader = new MessagePackReader(bytes);
        int fields = reader.ReadArrayHeader();
        var buffer = new ArrayBufferWriter<byte>();
        var writer = new MessagePackWriter(buffer);
        writer.WriteArrayHeader(fields + 3);
        writer.WriteRaw(bytes.AsSpan((int)reader.Consumed));
        writer.WriteMapHeader(1);
        writer.Write("k");
        writer.Write(1);
        writer.WriteArrayHeader(2);
        writer.WriteNil();
        writer.Write(1.5);
        writer.Write("text");
        writer.Flush();
        return buffer.WrittenSpan.ToArray();
    }
}
