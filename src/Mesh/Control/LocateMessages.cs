// SPDX-License-Identifier: Apache-2.0

// On the data path.
using MessagePack;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Control;

/// <summary>Rank 1: who has these keys?</summary>
/// <param name="Keys">At most <see cref="Wire.MaxBatch"/> keys.</param>
/// <param name="Mark">They are about to be read: keep them warm.</param>
/// <param name="CodesOnly">Whether a key is there is all that is asked: no record comes.</param>
/// <param name="Inline">
/// Values up to so many bytes that the owner holds itself come along, all of them at most
/// <see cref="Wire.MaxInline"/>; 0: none.
/// </param>
/// <param name="Final">Whether the answer says if nobody can know anything later.</param>
internal readonly record struct LocateRequest(MeshKey[] Keys, bool Mark, bool CodesOnly = false, int Inline = 0,
    bool Final = false) : IWireRequest<LocateRequest, LocateAnswer>, IVersionedMessage
{
    public static MessageType Type => MessageType.Locate;

    public void Write(ref MessagePackWriter writer) => Write(ref writer, Wire.VersionMax);

    public void Write(ref MessagePackWriter writer, int version)
    {
        writer.WriteArrayHeader(version >= 2 ? 5 : 4);
        writer.WriteArrayHeader(Keys.Length);
        foreach (var key in Keys)
            writer.Write(key.Bytes.AsSpan());
        writer.Write(Mark);
        writer.Write(CodesOnly);
        writer.Write(Inline);
        if (version >= 2)
            writer.Write(Final);
    }

    public static LocateRequest Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 4);
        var keys = new MeshKey[Wire.ReadCount(ref reader, Wire.MaxBatch)];
        for (int i = 0; i < keys.Length; i++)
            keys[i] = Wire.ReadKey(ref reader);
        var request = new LocateRequest(keys, reader.ReadBoolean(), reader.ReadBoolean(), reader.ReadInt32(),
            count >= 5 && reader.ReadBoolean());
        Wire.Leave(ref reader, count, Math.Min(count, 5));
        return request;
    }
}

/// <summary>
/// An owner's answers to a <see cref="LocateRequest"/>, in the order of the keys. On the wire each key is a number (its
/// <see cref="OwnerCode"/>), for Yes with a record a <see cref="RecordBlob"/>, and with the value too an array [record,
/// value or nil].
/// </summary>
internal sealed class LocateAnswer : IWireMessage<LocateAnswer>
{
    private readonly byte[] _codes;
    private ObjectRecord?[] _records = [];

    // Records as they came, one after the other, and where each begins (from 1; 0: none): a batch of a thousand is two
    // arrays, not two thousand objects, of which most callers look at one field.
    private byte[] _bytes = [];
    private int[] _places = [];
    private ReadOnlyMemory<byte>[] _values = [];

    /// <summary>An answer to fill in by <see cref="Set"/>.</summary>
    public LocateAnswer(ViewId view, int count)
    {
        View = view;
        _codes = new byte[count];
    }

    /// <summary>The view the answers were given in.</summary>
    public ViewId View { get; }

    /// <summary>
    /// Whether this owner would deny the keys that it does not know, so that nobody has anything later than what it
    /// says (rule A11). True of an answer that was not asked for it.
    /// </summary>
    public bool IsFinal { get; set; } = true;

    /// <summary>Number of keys.</summary>
    public int Count => _codes.Length;

    public OwnerCode CodeOf(int index) => (OwnerCode)_codes[index];

    /// <summary>The record of a Yes; null when codes alone were asked for.</summary>
    public ObjectRecord? RecordOf(int index)
    {
        var bytes = BytesOf(index);
        return bytes.IsEmpty ? _records.Length > 0 ? _records[index] : null : RecordBlob.Decode(bytes);
    }

    /// <summary>The version of a Yes; none when codes alone were asked for.</summary>
    public RecordVersion VersionOf(int index)
    {
        var bytes = BytesOf(index);
        return bytes.IsEmpty ? RecordOf(index)?.Version ?? default : RecordBlob.VersionOf(bytes);
    }

    /// <summary>The object of a Yes; 0 when codes alone were asked for.</summary>
    public ulong ObjectIdOf(int index)
    {
        var bytes = BytesOf(index);
        return bytes.IsEmpty ? RecordOf(index)?.ObjectId ?? 0 : RecordBlob.ObjectIdOf(bytes);
    }

    /// <summary>Size of the object in bytes, and its copies; none without a record.</summary>
    public (long Size, int Copies) ShapeOf(int index)
    {
        var bytes = BytesOf(index);
        if (!bytes.IsEmpty)
            return (RecordBlob.SizeOf(bytes), RecordBlob.CopiesOf(bytes));
        return RecordOf(index) is { } record ? (record.Size, record.Replicas.Length) : default;
    }

    /// <summary>The value itself, if it came along.</summary>
    public ReadOnlyMemory<byte> ValueOf(int index) => _values.Length > 0 ? _values[index] : default;

    /// <summary>Notes one answer.</summary>
    public void Set(int index, OwnerCode code, ObjectRecord? record = null, ReadOnlyMemory<byte> value = default)
    {
        _codes[index] = (byte)code;
        if (record is not null)
        {
            if (_records.Length == 0)
                _records = new ObjectRecord?[Count];
            _records[index] = record;
        }

        if (value.IsEmpty)
            return;
        if (_values.Length == 0)
            _values = new ReadOnlyMemory<byte>[Count];
        _values[index] = value;
    }

    public void Write(ref MessagePackWriter writer)
    {
        Begin(ref writer, View, Count, !IsFinal);
        for (int i = 0; i < Count; i++)
        {
            if (RecordOf(i) is not { } record)
            {
                writer.Write((int)CodeOf(i));
                continue;
            }

            if (!ValueOf(i).IsEmpty)
                writer.WriteArrayHeader(2);
            RecordBlob.Write(ref writer, record);
            if (!ValueOf(i).IsEmpty)
                writer.Write(ValueOf(i).Span);
        }

        if (!IsFinal)
            writer.Write(false);
    }

    /// <summary>
    /// Writes what comes before the answers; after them comes <see cref="IsFinal"/>, if it is
    /// <paramref name="asked"/> for.
    /// </summary>
    public static void Begin(ref MessagePackWriter writer, ViewId view, int count, bool asked)
    {
        writer.WriteArrayHeader(asked ? 5 : 4);
        Wire.Write(ref writer, view);
        writer.WriteArrayHeader(count);
    }

    public static LocateAnswer Read(ref MessagePackReader reader)
    {
        int fields = Wire.Enter(ref reader, 4);
        var view = Wire.ReadView(ref reader);
        var answer = new LocateAnswer(view, Wire.ReadCount(ref reader, Wire.MaxBatch));
        int end = 0;
        for (int i = 0; i < answer.Count; i++)
        {
            var type = reader.NextMessagePackType;
            if (type == MessagePackType.Integer)
            {
                answer.Set(i, (OwnerCode)reader.ReadByte());
                continue;
            }

            if (type == MessagePackType.Binary)
            {
                i = answer.KeepRun(i, ref reader, ref end);
                continue;
            }

            int inner = Wire.Enter(ref reader, 2);
            answer.Keep(i, RecordBlob.ReadBytes(ref reader), ref end);
            var value = reader.TryReadNil() ? default : Wire.ReadBytes(ref reader, Wire.MaxInline).AsMemory();
            Wire.Leave(ref reader, inner, 2);
            answer.Set(i, OwnerCode.Yes, null, value);
        }

        if (fields >= 5)
            answer.IsFinal = reader.ReadBoolean();
        Wire.Leave(ref reader, fields, Math.Min(fields, 5));
        return answer;
    }

    /// <summary>From the record's first byte on: it says itself how long it is.</summary>
    private ReadOnlySpan<byte> BytesOf(int index) =>
        _places.Length == 0 || _places[index] == 0 ? [] : _bytes.AsSpan(_places[index] - 1);

    /// <summary>Keeps records that follow each other, from <paramref name="first"/> on; the last one's place.</summary>
    private int KeepRun(int first, ref MessagePackReader reader, ref int end)
    {
        int next = first;
        var run = new ByteRun(reader);
        while (next < Count && run.TryRead(RecordBlob.MaxBytes, out var record))
            Keep(next++, RecordBlob.Checked(record), ref end);
        run.End(ref reader);
        if (next == first)
            Keep(next++, RecordBlob.ReadBytes(ref reader), ref end);
        return next - 1;
    }

    /// <summary>Keeps a record that came from another node.</summary>
    private void Keep(int index, ReadOnlySpan<byte> record, ref int end)
    {
        if (_places.Length == 0)
        {
            _places = new int[Count];
            _bytes = GC.AllocateUninitializedArray<byte>(Count * RecordBlob.BytesOf(1));
        }

        if (end + record.Length > _bytes.Length)
            Array.Resize(ref _bytes, Math.Max(end + record.Length, 2 * _bytes.Length));
        record.CopyTo(_bytes.AsSpan(end));
        _codes[index] = (byte)OwnerCode.Yes;
        _places[index] = end + 1;
        end += record.Length;
    }
}
