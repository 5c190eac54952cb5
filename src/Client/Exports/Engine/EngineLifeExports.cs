// SPDX-License-Identifier: Apache-2.0

using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Mooncake.Mesh.Client.Engine;
using Mooncake.Mesh.Exports.Arguments;
using Mooncake.Mesh.Exports.Guest;
using Mooncake.Mesh.Exports.Sessions;
using Mooncake.Mesh.Exports.Store;
using Mooncake.Mesh.Transfer.Engine;

namespace Mooncake.Mesh.Exports.Engine;

/// <summary>transfer_engine_c.h: engines, transports, segments and memory.</summary>
internal static unsafe class EngineLifeExports
{
    [UnmanagedCallersOnly(EntryPoint = "createTransferEngine", CallConvs = [typeof(CallConvCdecl)])]
    public static nint Create(byte* metadata, byte* localName, byte* host, ulong port, int autoDiscover) =>
        (nint)Math.Max(0, EngineDoor.Run(() =>
        {
            if (port > 65_535)
                throw Given.Wrong($"rpc_port is {port}; 0 to 65535 are legal");
            var options = EngineSetup.Options(Given.Text(metadata, "metadata_conn_string"),
                Given.Text(localName, "local_server_name"), Given.TextOrEmpty(host, "ip_or_host_name"), (int)port,
                autoDiscover != 0);
            if (OtherLibrary.Claim() is { } other)
                return EngineDoor.Fail(TransferErrorCode.Context, other);
            var engine = TransferEngine.Create(options);
            if (!engine.Succeeded)
                return EngineDoor.Of(engine.Error);
            var open = new EngineHandle(engine.Value);
            nint handle = EngineHandle.All.Add(open);
            if (handle == 0)
                open.Destroy();
            return handle;
        }));

    [UnmanagedCallersOnly(EntryPoint = "destroyTransferEngine", CallConvs = [typeof(CallConvCdecl)])]
    public static void Destroy(nint engine) => _ = EngineDoor.Run(() =>
    {
        EngineHandle.All.Remove(engine)?.Destroy();
        return 0;
    });

    [UnmanagedCallersOnly(EntryPoint = "discoverTopology", CallConvs = [typeof(CallConvCdecl)])]
    public static int Discover(nint engine) =>
        (int)EngineDoor.With(engine, static e => EngineDoor.Of(e.LocalTopology(), static _ => 0));

    [UnmanagedCallersOnly(EntryPoint = "getLocalIpAndPort", CallConvs = [typeof(CallConvCdecl)])]
    public static int LocalAddress(nint engine, byte* buffer, nuint length) =>
        (int)EngineDoor.With(engine, e => Text(e.LocalAddress, buffer, length));

    [UnmanagedCallersOnly(EntryPoint = "installTransport", CallConvs = [typeof(CallConvCdecl)])]
    public static nint Install(nint engine, byte* protocol, void** arguments)
    {
        long code = EngineDoor.With(engine, e =>
        {
            string name = Given.Text(protocol, "proto");
            // The first argument of "rdma" is the matrix of which devices serve which memory.
            string? matrix = name == "rdma" && arguments is not null && arguments[0] is not null
                ? Given.Text((byte*)arguments[0], "args[0]")
                : null;
            return EngineDoor.Of(e.InstallTransport(name, matrix));
        });
        return code == 0 ? engine : 0;
    }

    [UnmanagedCallersOnly(EntryPoint = "uninstallTransport", CallConvs = [typeof(CallConvCdecl)])]
    public static int Uninstall(nint engine, byte* protocol) => (int)EngineDoor.With(engine,
        e => EngineDoor.Of(e.UninstallTransport(Given.Text(protocol, "proto"))));

    [UnmanagedCallersOnly(EntryPoint = "openSegment", CallConvs = [typeof(CallConvCdecl)])]
    public static int OpenSegment(nint engine, byte* name) => (int)EngineDoor.With(engine,
        e => EngineDoor.Of(e.OpenSegment(Given.Text(name, "segment_name")), static id => id));

    [UnmanagedCallersOnly(EntryPoint = "openSegmentNoCache", CallConvs = [typeof(CallConvCdecl)])]
    public static int OpenSegmentNoCache(nint engine, byte* name) => (int)EngineDoor.With(engine,
        e => EngineDoor.Of(e.OpenSegmentNoCache(Given.Text(name, "segment_name")), static id => id));

    [UnmanagedCallersOnly(EntryPoint = "closeSegment", CallConvs = [typeof(CallConvCdecl)])]
    public static int CloseSegment(nint engine, int segment) =>
        (int)EngineDoor.With(engine, e => EngineDoor.Of(e.CloseSegment(segment)));

    [UnmanagedCallersOnly(EntryPoint = "removeLocalSegment", CallConvs = [typeof(CallConvCdecl)])]
    public static int RemoveLocalSegment(nint engine, byte* name) => (int)EngineDoor.With(engine,
        e => EngineDoor.Of(e.RemoveLocalSegment(Given.Text(name, "segment_name"))));

    [UnmanagedCallersOnly(EntryPoint = "warmupEfaSegment", CallConvs = [typeof(CallConvCdecl)])]
    public static int WarmUpEfa(nint engine, byte* name) => (int)EngineDoor.With(engine, e =>
    {
        _ = Given.Text(name, "segment_name");
        return EngineDoor.Fail(TransferErrorCode.NotImplemented, "there is no EFA transport");
    });

    [UnmanagedCallersOnly(EntryPoint = "syncSegmentCache", CallConvs = [typeof(CallConvCdecl)])]
    public static int SyncSegments(nint engine) =>
        (int)EngineDoor.With(engine, static e => EngineDoor.Of(e.SyncSegmentCache()));

    [UnmanagedCallersOnly(EntryPoint = "registerLocalMemory", CallConvs = [typeof(CallConvCdecl)])]
    public static int Register(nint engine, void* address, nuint length, byte* location, int remoteAccessible) =>
        (int)EngineDoor.With(engine, e => EngineDoor.Of(
            e.Register((nint)address, length, Location(location), remoteAccessible != 0)));

    [UnmanagedCallersOnly(EntryPoint = "unregisterLocalMemory", CallConvs = [typeof(CallConvCdecl)])]
    public static int Unregister(nint engine, void* address) =>
        (int)EngineDoor.With(engine, e => EngineDoor.Of(e.Unregister((nint)address)));

    [UnmanagedCallersOnly(EntryPoint = "registerLocalMemoryBatch", CallConvs = [typeof(CallConvCdecl)])]
    public static int RegisterBatch(nint engine, BufferEntry* buffers, nuint count, byte* location) =>
        (int)EngineDoor.With(engine, e =>
        {
            int entries = Given.Count(count, sizeof(BufferEntry), (nint)buffers);
            return EngineDoor.Of(e.Register(new ReadOnlySpan<BufferEntry>(buffers, entries), Location(location)));
        });

    [UnmanagedCallersOnly(EntryPoint = "unregisterLocalMemoryBatch", CallConvs = [typeof(CallConvCdecl)])]
    public static int UnregisterBatch(nint engine, nint* addresses, nuint count) =>
        (int)EngineDoor.With(engine, e => EngineDoor.Of(
            e.Unregister(new ReadOnlySpan<nint>(addresses, Given.Count(count, (nint)addresses)))));

    [UnmanagedCallersOnly(EntryPoint = "enableGracefulShutdown", CallConvs = [typeof(CallConvCdecl)])]
    public static void GracefulShutdown(nint engine)
    {
        // A library takes no signals of its host: what this asks for is destroyTransferEngine.
        _ = EngineDoor.With(engine, static _ => 0);
    }

    [UnmanagedCallersOnly(EntryPoint = "showLinks", CallConvs = [typeof(CallConvCdecl)])]
    public static int ShowLinks(nint engine, byte* buffer, nuint length, int json) =>
        (int)EngineDoor.With(engine, e => Text(e.ShowLinks(json != 0), buffer, length));

    private static string Location(byte* location) => Given.Text(location, "location");

    private static long Text(string text, byte* buffer, nuint length) =>
        StoreLifeExports.CopyText(text, buffer, length) == ErrorCodes.Ok ? 0 : (long)TransferErrorCode.InvalidArgument;
}
