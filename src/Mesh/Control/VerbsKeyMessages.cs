// SPDX-License-Identifier: Apache-2.0

using MessagePack;

namespace Mooncake.Mesh.Control;

/// <summary>
/// Rank 0: by which keys cards reach a range of an engine's registered memory. Unlike a node's segments, an engine's
/// memory comes and goes, so its keys do not come with the queue pairs.
/// </summary>
/// <param name="Address">First byte, in the engine's process.</param>
/// <param name="Length">Length in bytes, from 1.</param>
/// <param name="PushesToDevices">
/// Whether who asks has everybody see what it wrote into a device's memory; no keys of such memory are for others. Sent
/// where it is so.
/// </param>
internal readonly record struct VerbsKeysRequest(ulong Address, ulong Length, bool PushesToDevices = false)
    : IWireRequest<VerbsKeysRequest, VerbsKeysAnswer>
{
    public static MessageType Type => MessageType.VerbsKeys;

    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(PushesToDevices ? 3 : 2);
        writer.Write(Address);
        writer.Write(Length);
        if (PushesToDevices)
            writer.Write(true);
    }

    public static VerbsKeysRequest Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 2);
        var request = new VerbsKeysRequest(reader.ReadUInt64(), reader.ReadUInt64(), count > 2 && reader.ReadBoolean());
        Wire.Leave(ref reader, count, count > 2 ? 3 : 2);
        return request;
    }
}

/// <summary>Whether cards may reach a range. On the wire: values are fixed, new ones are appended.</summary>
internal enum KeysCode
{
    /// <summary>By the keys that follow.</summary>
    Reached = 0,

    /// <summary>It is not registered as one range.</summary>
    NotRegistered = 1,

    /// <summary>It is registered, but not for peers.</summary>
    NotRemote = 2,

    /// <summary>It is registered, but the cards do not reach it.</summary>
    NotByCards = 3,
}

/// <summary>The memory that the range is in.</summary>
/// <param name="Code">Whether cards may reach it.</param>
/// <param name="Region">Where it lies, and in which parts; of no meaning where it is not registered for peers.</param>
/// <param name="Keys">For each card in turn the keys of its parts; none where the cards do not reach it.</param>
/// <param name="Device">The device that it lies on, "cuda:N"; empty, and not sent: it is host memory.</param>
internal readonly record struct VerbsKeysAnswer(KeysCode Code, RemoteRegion Region, uint[] Keys, string Device = "")
    : IWireMessage<VerbsKeysAnswer>
{
    /// <summary>What is answered of a range that is not registered for peers.</summary>
    public static VerbsKeysAnswer None(KeysCode code) => new(code, new RemoteRegion(0, 1, 1), []);

    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(Device.Length > 0 ? 4 : 3);
        writer.Write((int)Code);
        Region.Write(ref writer);
        VerbsLimits.WriteKeys(ref writer, Keys);
        if (Device.Length > 0)
            Wire.WriteText(ref writer, Device);
    }

    public static VerbsKeysAnswer Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 3);
        var answer = new VerbsKeysAnswer((KeysCode)reader.ReadInt32(), RemoteRegion.Read(ref reader),
            VerbsLimits.ReadKeys(ref reader), count > 3 ? Wire.ReadText(ref reader) : "");
        if (answer.Keys.Length % answer.Region.Parts != 0)
            throw new WireException($"{answer.Keys.Length} keys of {answer.Region.Parts} parts");
        Wire.Leave(ref reader, count, count > 3 ? 4 : 3);
        return answer;
    }
}
