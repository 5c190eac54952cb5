// SPDX-License-Identifier: Apache-2.0

using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;
using Mooncake.Mesh.Client;
using Mooncake.Mesh.Exports.Arguments;
using Mooncake.Mesh.Exports.Guest;
using Mooncake.Mesh.Exports.Sessions;

namespace Mooncake.Mesh.Exports.Store;

/// <summary>store_c.h: making, setting up and ending stores, and the memory they know.</summary>
internal static unsafe class StoreLifeExports
{
    private const int NotSetUp = 1;
    private const int Unreachable = 2;

    [UnmanagedCallersOnly(EntryPoint = "mooncake_store_create", CallConvs = [typeof(CallConvCdecl)])]
    public static nint Create() => (nint)Math.Max(0, Door.Run(static () =>
    {
        if (OtherLibrary.Claim() is { } other)
            return Door.Fail(ErrorCodes.SecondLibrary, other);
        nint handle = Handles.Sessions.Add(new Session(HandleKind.Store));
        return handle != 0 ? handle : Door.Fail(ErrorCodes.UnavailableInCurrentStatus,
            $"{HandleTable<Session>.Most} handles are open");
    }));

    [UnmanagedCallersOnly(EntryPoint = "mooncake_store_destroy", CallConvs = [typeof(CallConvCdecl)])]
    public static void Destroy(nint store) => _ = Door.Run(() =>
    {
        if (Handles.Sessions.Find(store) is { Kind: HandleKind.Store } && Handles.Sessions.Remove(store) is { } session)
            _ = session.Close();
        return 0;
    });

    [UnmanagedCallersOnly(EntryPoint = "mooncake_store_setup", CallConvs = [typeof(CallConvCdecl)])]
    public static int Setup(nint store, byte* localHostname, byte* metadataServer, ulong globalSegmentSize,
        ulong localBufferSize, byte* protocol, byte* deviceName, byte* masterServer) =>
        (int)Door.With(store, HandleKind.Store, session => SetUp(session, new StoreSetup
        {
            LocalHostname = Given.Text(localHostname, "local_hostname"),
            MetadataServer = Given.Text(metadataServer, "metadata_server"),
            GlobalSegmentSize = globalSegmentSize,
            LocalBufferSize = localBufferSize,
            Protocol = Given.Text(protocol, "protocol"),
            DeviceName = Given.TextOrEmpty(deviceName, "device_name"),
            MasterServer = Given.TextOrEmpty(masterServer, "master_server_addr"),
        }));

    [UnmanagedCallersOnly(EntryPoint = "mooncake_store_init_all", CallConvs = [typeof(CallConvCdecl)])]
    public static int InitAll(nint store, byte* protocol, byte* deviceName, ulong mountSegmentSize) =>
        (int)Door.With(store, HandleKind.Store, session => SetUp(session, new StoreSetup
        {
            LocalHostname = Variable("MOONCAKE_LOCAL_HOSTNAME") ?? "localhost",
            MetadataServer = Variable("MOONCAKE_TE_META_DATA_SERVER") ?? "etcd://127.0.0.1:2379",
            MasterServer = Variable("MOONCAKE_MASTER") ?? "",
            GlobalSegmentSize = mountSegmentSize,
            LocalBufferSize = 16 << 20,
            Protocol = Given.Text(protocol, "protocol"),
            DeviceName = Given.TextOrEmpty(deviceName, "device_name"),
        }));

    [UnmanagedCallersOnly(EntryPoint = "mooncake_store_health_check", CallConvs = [typeof(CallConvCdecl)])]
    public static int HealthCheck(nint store)
    {
        long health = Door.With(store, HandleKind.Store, session => !session.IsLive
            ? NotSetUp
            : session.Wait(cancel => session.Live.Client.TryStatusAsync(null, cancel),
                static status => status.Succeeded ? ErrorCodes.Ok : ErrorCodes.Of(status.Error!)));
        return health switch
        {
            >= 0 => (int)health,
            ErrorCodes.BadHandle or ErrorCodes.Forked => NotSetUp,
            _ => Unreachable,
        };
    }

    [UnmanagedCallersOnly(EntryPoint = "mooncake_store_get_hostname", CallConvs = [typeof(CallConvCdecl)])]
    public static int GetHostname(nint store, byte* buffer, nuint length) =>
        (int)Door.With(store, HandleKind.Store, session => CopyText(session.Live.Hostname, buffer, length));

    [UnmanagedCallersOnly(EntryPoint = "mooncake_store_register_buffer", CallConvs = [typeof(CallConvCdecl)])]
    public static int RegisterBuffer(nint store, void* buffer, nuint size) =>
        (int)Door.With(store, HandleKind.Store, session => Register(session, buffer, size));

    [UnmanagedCallersOnly(EntryPoint = "mooncake_store_unregister_buffer", CallConvs = [typeof(CallConvCdecl)])]
    public static int UnregisterBuffer(nint store, void* buffer) =>
        (int)Door.With(store, HandleKind.Store, session => Unregister(session, buffer));

    /// <summary>Notes a buffer of the host.</summary>
    public static long Register(Session session, void* buffer, nuint size)
    {
        var client = session.Live.Client;
        if (size == 0)
            throw Given.Wrong("a buffer of 0 bytes cannot be registered");
        var range = Given.Range(buffer, size, "the buffer");
        if (session.Memory.Add(range) is { } why)
            return Door.Fail(ErrorCodes.InvalidParams, why);
        // Host or device: asked once, here.
        client.RegisterMemory(range);
        return ErrorCodes.Ok;
    }

    /// <summary>Forgets one.</summary>
    public static long Unregister(Session session, void* buffer)
    {
        var client = session.Live.Client;
        if (!session.Memory.Remove((nint)buffer))
            return Door.Fail(ErrorCodes.InvalidParams, $"no registered buffer starts at 0x{(nint)buffer:x}");
        client.UnregisterMemory((nint)buffer);
        return ErrorCodes.Ok;
    }

    /// <summary>Writes a text with its NUL where there is room; InvalidParams where there is not.</summary>
    public static long CopyText(string text, byte* buffer, nuint length)
    {
        Given.Out(buffer, "the buffer");
        int size = Encoding.UTF8.GetByteCount(text);
        if (length <= (nuint)size)
            return Door.Fail(ErrorCodes.InvalidParams, $"the buffer has {length} bytes; the text needs {size + 1}");
        Encoding.UTF8.GetBytes(text, new Span<byte>(buffer, size));
        buffer[size] = 0;
        return ErrorCodes.Ok;
    }

    private static long SetUp(Session session, StoreSetup setup)
    {
        var opener = new MeshOpener(setup.ToOptions(Variable));
        return session.SetUp(opener.OpenAsync);
    }

    private static string? Variable(string name) => Environment.GetEnvironmentVariable(name);
}
